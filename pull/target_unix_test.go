//go:build unix

package pull_test

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/image2ipfs/image2ipfs/pull"
)

func writes(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// An archive goes through a named pipe, or a device, to whoever reads there.
func TestArchiveIntoPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		read <- string(data)
	}()
	if err := (pull.Archive{Path: path}).Write(t.Context(), writes("archive")); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "archive" {
		t.Errorf("the reader got %q", got)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe has become %v (%v)", info.Mode(), err)
	}
}

// A symbolic link goes on leading to the file.
func TestArchiveThroughLink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := (pull.Archive{Path: link}).Write(t.Context(), writes("after")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "after" {
		t.Errorf("the file holds %q (%v)", data, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link has become %v (%v)", info.Mode(), err)
	}
}
