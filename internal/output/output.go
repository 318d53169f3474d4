// Package output writes to where people say, among it named pipes, devices and standard
// output, whose opening and writing wait for somebody who reads.
package output

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Special has write write to what is there at path and no regular file, such as a named
// pipe or a device, which stays what it is. It tells whether it is such a thing. Of a
// named pipe it waits for a reader. When ctx ends, so does that waiting, with ctx's cause,
// and so does a write that waits, with [os.ErrDeadlineExceeded], where the system can end
// it. Other errors are those of the file, and write's.
func Special(ctx context.Context, path string, write func(w io.Writer) error) (is bool, err error) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() || info.IsDir() {
		return false, nil
	}
	f, err := open(ctx, path, info.Mode()&os.ModeNamedPipe != 0)
	if err != nil {
		return true, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = f.SetWriteDeadline(time.Now()) // what has none, such as a device, is written to its end
	})
	defer stop()
	return true, errors.Join(write(f), f.Close())
}

// Real is the path to write a file to that takes the place of what is there: of a
// symbolic link it is what that leads to, so that the link stays one.
func Real(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// grace is how long a write may take that is on its way when ctx ends: what can be
// written is written.
const grace = 250 * time.Millisecond

// Until gives f as a writer whose writes end when ctx does, with ctx's cause, though
// nobody reads: for standard output and standard error, which others may have, too, so
// that they cannot be made to end by the system. What waits then does so until the
// process ends, and later writes fail at once. A regular file is given as it is, since it
// waits for nobody.
func Until(ctx context.Context, f *os.File) io.Writer {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return f
	}
	return &Writer{ctx: ctx, to: f}
}

// Writer is what [Until] gives. It is safe for concurrent use.
type Writer struct {
	ctx context.Context //nolint:containedctx // it is the writer's end
	to  *os.File

	mu     sync.Mutex
	data   []byte // of the write that goes on; nobody else's
	failed error  // since a write that nobody took
}

// File is the file that is written to.
func (w *Writer) File() *os.File { return w.to }

// Write implements [io.Writer].
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return 0, w.failed
	}
	w.data = append(w.data[:0], p...)
	type written struct {
		n   int
		err error
	}
	done := make(chan written, 1)
	go func(data []byte) {
		n, err := w.to.Write(data)
		done <- written{n, err}
	}(w.data)
	select {
	case d := <-done:
		return d.n, d.err
	case <-w.ctx.Done():
	}
	select {
	case d := <-done:
		return d.n, d.err
	case <-time.After(grace):
		w.failed = context.Cause(w.ctx)
		return 0, w.failed
	}
}
