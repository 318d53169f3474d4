//go:build e2e

// Running other programs.

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// command is a program with the arguments that all its uses share, such as
// `docker -H unix:///…`.
type command []string

// commandFor reads the command that `hack/engines.sh env` printed for an engine
// as E2E_<NAME>. It is nil when that engine is not there.
func commandFor(name string) command {
	if prefix := os.Getenv("E2E_" + strings.ToUpper(name)); prefix != "" {
		return strings.Fields(prefix)
	}
	return nil
}

// output runs the command and returns its standard output without the white
// space around it.
func (c command) output(ctx context.Context, args ...string) (string, error) {
	out, err := c.bytes(ctx, args...)
	return strings.TrimSpace(string(out)), err
}

// bytes runs the command and returns its standard output as it is.
func (c command) bytes(ctx context.Context, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := c.pipe(ctx, nil, &out, args...)
	return out.Bytes(), err
}

// pipe runs the command between a reader and a writer, either of them nil. The
// error holds the end of what the command wrote to standard error.
func (c command) pipe(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	argv := append(append([]string{}, c...), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &complaint
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, tail(complaint.String(), 15))
	}
	return nil
}

// tail returns the last n lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
