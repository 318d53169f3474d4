// Command image2ipfs publishes container images on IPFS and serves them to
// every container engine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/image2ipfs/image2ipfs/internal/output"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	out := &result{to: standardOutput(ctx)}
	root := newRoot(out, output.Until(ctx, os.Stderr))
	p2p.LogTo(root.ErrOrStderr())
	err := root.ExecuteContext(ctx)
	if err == nil && out.failed != nil {
		err = out.failed
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded)) { // the latter of a read that waited
		err = errInterrupted
	}
	if err != nil {
		fmt.Fprintln(root.ErrOrStderr(), "image2ipfs:", indented(err.Error()))
	}
	os.Exit(exitCode(err))
}
