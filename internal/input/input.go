// Package input opens files that people name, among them named pipes, whose opening and
// reading wait for somebody who writes.
package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Open opens a file for reading. Of a named pipe it waits for a writer. When ctx ends, so
// does that waiting, with ctx's cause, and so does a read that waits, with
// [os.ErrDeadlineExceeded], where the system can end it.
func Open(ctx context.Context, path string) (*os.File, error) {
	f, waits, err := openAny(ctx, path)
	if waits {
		Interrupt(ctx, f)
	}
	return f, err
}

// openAny opens a file, and tells whether its reads may wait.
func openAny(ctx context.Context, path string) (f *os.File, waits bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if info.Mode().IsRegular() || info.IsDir() {
		f, err = os.Open(path)
		return f, false, err
	}
	f, err = open(ctx, path, info.Mode()&os.ModeNamedPipe != 0)
	return f, err == nil, err
}

// Interrupt has reads of f end when ctx does; stop ends that.
func Interrupt(ctx context.Context, f *os.File) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		_ = f.SetReadDeadline(time.Now()) // what has none, such as a device, is read to its end
	})
}

// ErrTooLarge is matched by errors about files with more bytes than what is expected
// there ever has, such as a device without an end.
var ErrTooLarge = errors.New("is too large")

// ReadFile reads a small file that people name, such as one with a key, of at most most
// bytes. Errors match [ErrTooLarge], or are those of reading it; when ctx ends while it
// waits for somebody who writes, it is ctx's cause.
func ReadFile(ctx context.Context, path string, most int64) ([]byte, error) {
	f, waits, err := openAny(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was read only
	if waits {
		defer Interrupt(ctx, f)()
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err == nil && int64(len(data)) > most:
		return nil, fmt.Errorf("%s %w: expected at most %d bytes, found more", path, ErrTooLarge, most)
	}
	return data, err
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
