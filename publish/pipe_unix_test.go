//go:build unix

package publish

import (
	"path/filepath"
	"syscall"
	"testing"
)

func makePipe(t *testing.T, dir, name string) {
	t.Helper()
	if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
		t.Fatal(err)
	}
}
