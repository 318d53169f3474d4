//go:build unix

package reread

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A named pipe can be read once: who uses what was in it does not wait for somebody to
// write again, however often the pipe is touched.
func TestNamedPipeIsReadOnce(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "p")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := os.WriteFile(pipe, []byte("one"), 0o600); err != nil {
			t.Error(err)
		}
	}()
	reads := 0
	v, err := Open(nil, "the test", func() (string, error) {
		if reads++; reads > 1 {
			t.Error("read again")
			return "", nil
		}
		data, err := os.ReadFile(pipe)
		return string(data), err
	}, pipe)
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(pipe, later, later); err != nil {
		t.Fatal(err)
	}
	v.looked = time.Now().Add(-2 * Pause)
	if got := v.Get(); got != "one" {
		t.Errorf("%q, want what was in the pipe", got)
	}
}
