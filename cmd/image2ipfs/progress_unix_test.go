//go:build linux || darwin

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// On a terminal a bar is drawn and gone again at the end, however narrow the
// terminal is and whatever the input is called; the results are all that standard
// output has.
func TestProgressOnTerminal(t *testing.T) {
	dir := t.TempDir()
	name := "a\x1b]0;owned\x07b.tar"
	packed := layerOf(kinds["docker-1.10"]([]string{"app:1"})...)
	if err := os.WriteFile(filepath.Join(dir, name), packed, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, columns := range []uint16{20, 80, 400} {
		drawn, results := onTerminal(t, columns, dir, "publish", name)
		if strings.Contains(drawn, "owned\x07") || !strings.Contains(drawn, "%") {
			t.Errorf("%d columns: expected a bar and nothing that a terminal obeys of the name, found %q", columns, drawn)
		}
		if strings.Count(results, "\n") != 1 || !strings.Contains(results, "ciq") {
			t.Errorf("%d columns: standard output: %q", columns, results)
		}
	}
}

// onTerminal runs the command with a terminal as its standard error and returns
// what it drew there and its results.
func onTerminal(t *testing.T, columns uint16, dir string, args ...string) (drawn, results string) {
	t.Helper()
	screen, theirs, err := pty.Open()
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	defer screen.Close()
	if err := pty.Setsize(theirs, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "image2ipfs", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, theirs
	cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+filepath.Join(dir, "store"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	all, err := io.ReadAll(screen)
	if err != nil && !errors.Is(err, syscall.EIO) { // how Linux tells of the end
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, all)
	}
	return string(all), out.String()
}
