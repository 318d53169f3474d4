//go:build unix

package input

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func pipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Nobody waits for a writer who has been told to stop.
func TestOpenWithoutWriter(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	ended := make(chan error)
	path := pipe(t)
	go func() {
		_, err := Open(ctx, path)
		ended <- err
	}()
	cancel(enough)
	if err := <-ended; !errors.Is(err, enough) {
		t.Errorf("%v, want %v", err, enough)
	}
	// And nobody is left who reads: a writer would not be told so.
	if w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("somebody reads still: %v, %v", w, err)
	}
}

// Nor for a writer who writes nothing.
func TestReadOfIdleWriter(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	path := pipe(t)
	writer := make(chan *os.File)
	go func() {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
		}
		writer <- w
	}()
	f, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := <-writer
	defer w.Close()
	if _, err := w.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1)
	if _, err := io.ReadFull(f, got); err != nil || string(got) != "x" {
		t.Fatalf("%q, %v", got, err)
	}
	ended := make(chan error)
	go func() {
		_, err := f.Read(got)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// A small file is read to its end, from a pipe too; one without an end is refused, by name,
// and a pipe to which nobody writes ends with the context.
func TestReadFile(t *testing.T) {
	path := pipe(t)
	go func() {
		if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
			t.Error(err)
		}
	}()
	if data, err := ReadFile(t.Context(), path, 7); string(data) != "content" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{plain, "/dev/zero"} {
		if _, err := ReadFile(t.Context(), path, 6); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	ended := make(chan error)
	go func() {
		_, err := ReadFile(ctx, path, 7)
		ended <- err
	}()
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cancel(enough)
	if err := <-ended; !errors.Is(err, enough) {
		t.Errorf("%v, want %v", err, enough)
	}
}

// What is written is read to its end, and other files are as they are.
func TestOpen(t *testing.T) {
	path := pipe(t)
	go func() {
		if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
			t.Error(err)
		}
	}()
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, plain} {
		f, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(f); string(data) != "content" || err != nil {
			t.Errorf("%q, %v", data, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(t.Context(), plain+"-not"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
