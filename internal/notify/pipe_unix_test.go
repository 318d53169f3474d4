//go:build unix

package notify

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Lines for a named pipe wait for whoever reads it, and nobody waits for a reader who
// never comes: neither who opens it, nor who sends, nor, for long, who closes it.
func TestNamedPipe(t *testing.T) {
	t.Parallel() // closing takes its time
	pipe := filepath.Join(t.TempDir(), "events")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(pipe, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.Send([]byte("one"))
	r, err := os.OpenFile(pipe, os.O_RDWR, 0) // a reader for whom the pipe does not end
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(r)
	if got, err := lines.ReadString('\n'); got != "one\n" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	l.Send([]byte("two"))
	if got, err := lines.ReadString('\n'); got != "two\n" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	l.Send([]byte(strings.Repeat("nobody reads this", 10)))
	began := time.Now()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 4*farewell {
		t.Errorf("closing took %v", took)
	}
	if s := l.Stats(); s.Delivered != 2 || s.Lost != 1 {
		t.Errorf("%+v, want two taken and one lost", s)
	}
}
