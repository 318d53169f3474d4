//go:build unix

package output

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func pipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var errEnough = errors.New("enough")

// Nobody waits for a reader who has been told to stop, and nothing is written then.
func TestWithoutReader(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	path := pipe(t)
	go func() {
		is, err := Special(ctx, path, func(io.Writer) error { return errors.New("written to nobody") })
		if !is {
			t.Error("a named pipe is taken for a file")
		}
		ended <- err
	}()
	time.AfterFunc(2*pause, func() { cancel(errEnough) })
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Errorf("%v, want %v", err, errEnough)
	}
}

// Nor for a reader who reads nothing.
func TestIdleReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	path := pipe(t)
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	full := make(chan struct{})
	ended := make(chan error)
	go func() {
		_, err := Special(ctx, path, func(w io.Writer) error {
			if _, err := w.Write([]byte("x")); err != nil {
				return err
			}
			close(full)
			_, err := w.Write(make([]byte, 4<<20))
			return err
		})
		ended <- err
	}()
	<-full
	cancel()
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// A reader who comes late gets everything, and the pipe stays one.
func TestLateReader(t *testing.T) {
	path := pipe(t)
	want := bytes.Repeat([]byte("content"), 100_000)
	ended := make(chan error)
	go func() {
		_, err := Special(t.Context(), path, func(w io.Writer) error { _, err := w.Write(want); return err })
		ended <- err
	}()
	time.Sleep(2 * pause)
	got, err := os.ReadFile(path)
	if err = errors.Join(err, <-ended); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Files and directories are others' matter; a link to one leads there.
func TestFilesAreNotSpecial(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink("file", link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, file, link, filepath.Join(dir, "none")} {
		if is, err := Special(t.Context(), path, func(io.Writer) error { return errors.New("called") }); is || err != nil {
			t.Errorf("%s: %v, %v", path, is, err)
		}
	}
	if got := Real(link); !strings.HasSuffix(got, "/file") {
		t.Errorf("%s leads to %s", link, got)
	}
	if is, err := Special(t.Context(), os.DevNull, func(w io.Writer) error { _, err := w.Write([]byte("x")); return err }); !is || err != nil {
		t.Errorf("%s: %v, %v", os.DevNull, is, err)
	}
}

// A write to a pipe that is full ends with its context; until then all is written.
func TestUntil(t *testing.T) {
	r, f, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.Fd() // a pipe that blocks, as standard output
	ctx, cancel := context.WithCancelCause(t.Context())
	w := Until(ctx, f)
	if n, err := w.Write([]byte("all")); n != 3 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	ended := make(chan error)
	go func() {
		_, err := w.Write(make([]byte, 4<<20))
		ended <- err
	}()
	cancel(errEnough)
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Errorf("%v, want %v", err, errEnough)
	}
	if _, err := w.Write([]byte("more")); !errors.Is(err, errEnough) {
		t.Errorf("after it: %v", err)
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(r, 3+4<<20)); err != nil { // lets the write go
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// What can be written when the context has ended is.
func TestUntilAfterTheEnd(t *testing.T) { synctest.Test(t, untilAfterTheEnd) } // grace is short

func untilAfterTheEnd(t *testing.T) {
	r, f, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := Until(ctx, f).Write([]byte("interrupted\n")); n != 12 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if w := Until(ctx, file); w != file {
		t.Errorf("a file is a %T", w)
	}
	if err := errors.Join(f.Close(), file.Close()); err != nil {
		t.Error(err)
	}
}
