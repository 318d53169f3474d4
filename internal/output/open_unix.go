//go:build unix

package output

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// pause is how often a named pipe is looked at for a reader.
const pause = 20 * time.Millisecond

// open opens what is there for writing. A named pipe without a reader is refused by the
// system where it may not wait, which is asked again until there is one.
func open(ctx context.Context, path string, isPipe bool) (*os.File, error) {
	flags := os.O_WRONLY
	if isPipe {
		flags |= syscall.O_NONBLOCK
	}
	for {
		f, err := os.OpenFile(path, flags, 0)
		if !isPipe || !errors.Is(err, syscall.ENXIO) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
