// Package input opens files that people name, among them named pipes, whose opening and
// reading wait for somebody who writes.
package input

import (
	"context"
	"os"
	"time"
)

// Open opens a file for reading. Of a named pipe it waits for a writer. When ctx ends, so
// does that waiting, with ctx's cause, and so does a read that waits, with
// [os.ErrDeadlineExceeded], where the system can end it.
func Open(ctx context.Context, path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() || info.IsDir() {
		return os.Open(path)
	}
	f, err := open(ctx, path, info.Mode()&os.ModeNamedPipe != 0)
	if err != nil {
		return nil, err
	}
	Interrupt(ctx, f)
	return f, nil
}

// Interrupt has reads of f end when ctx does.
func Interrupt(ctx context.Context, f *os.File) {
	context.AfterFunc(ctx, func() {
		_ = f.SetReadDeadline(time.Now()) // what has none, such as a device, is read to its end
	})
}

type opened struct {
	f   *os.File
	err error
}

// open opens what may let wait for it.
func open(ctx context.Context, path string, isPipe bool) (*os.File, error) {
	result := make(chan opened, 1)
	go func() {
		f, err := os.Open(path)
		result <- opened{f, err}
	}()
	select {
	case o := <-result:
		return o.f, o.err
	case <-ctx.Done():
	}
	if isPipe {
		awaken(path, result)
	}
	return nil, context.Cause(ctx)
}

// awaken ends the waiting for a writer by being one. A pipe that was removed meanwhile
// cannot be written to any more: the goroutine then waits as long as the process lives.
func awaken(path string, result <-chan opened) {
	const tries, pause = 100, 10 * time.Millisecond
	for range tries {
		stop := beWriter(path)
		select {
		case o := <-result:
			stop()
			if o.err == nil {
				_ = o.f.Close() // nothing was read
			}
			return
		case <-time.After(pause):
			stop()
		}
	}
}
