// Engines' own programs, asked how they read their files.

package setup

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// askTimeout is far more than a program needs to read its configuration.
const askTimeout = 20 * time.Second

// program is the command by which an engine's own program is run, nil when
// there is none, or when the files are not those that it reads.
func (o Options) program(name string) []string {
	if len(o.Program) > 0 {
		return o.Program
	}
	if o.Root != "" || o.Config != "" || o.HostsDir != "" {
		return nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil
	}
	return []string{path}
}

// ask runs a program and gives its standard output. The error has the end of what
// it wrote to standard error.
func ask(ctx context.Context, program []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	argv := append(append([]string{}, program...), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &complaint, time.Second
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(complaint.String())
		if len(text) > 400 {
			text = "…" + text[len(text)-400:]
		}
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text)
	}
	return out.String(), nil
}
