package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/source"
)

// listParallel is how many sources of a list are published at once.
const listParallel = 4

// checkArguments wants sources on the command line or in a list.
func (o *publishOptions) checkArguments(args []string) error {
	switch {
	case o.from != "" && len(args) > 0:
		return fmt.Errorf("--from %s and sources on the command line exclude each other", o.from)
	case o.from == "" && len(args) == 0:
		return errors.New("requires at least 1 source, or --from FILE")
	}
	return nil
}

// readList reads the file of --from.
func readList(ctx context.Context, path string) ([]string, error) {
	if path == "-" {
		return source.ReadList(interruptible(ctx))
	}
	f, err := input.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return source.ReadList(f)
}

// publishList publishes several sources at once, whichever fail. The error is that of
// the first of these, with their number.
func (o *publishOptions) publishList(cmd *cobra.Command, log *slog.Logger, store ipfs.Store, openers []opener, options layer.Options) error {
	results := make([]done, len(openers))
	var first error
	failed := 0
	source.Each(cmd.Context(), len(openers), listParallel, func(_ context.Context, i int) (err error) {
		results[i], err = o.publishOne(cmd, log, store, openers[i], options)
		return err
	}, func(i int, err error) {
		if err == nil {
			err = o.report(cmd, results[i], store)
		}
		if err == nil {
			return
		}
		if failed++; first == nil {
			first = err
		} else {
			fmt.Fprintf(cmd.ErrOrStderr(), "image2ipfs: %v\n", err)
		}
	})
	if failed > 1 {
		first = fmt.Errorf("%d of %d sources failed, the first with: %w", failed, len(openers), first)
	}
	return first
}
