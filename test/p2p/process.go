//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/test/netlab"
	"github.com/image2ipfs/image2ipfs/test/process"
)

// local is a command on the host.
func (b *bench) local(argv ...string) *exec.Cmd {
	return exec.CommandContext(b.ctx, argv[0], argv[1:]...)
}

// output runs a command and gives its standard output; the error holds what it
// said.
func output(cmd *exec.Cmd) (string, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(said.String())
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, text[max(0, len(text)-500):])
	}
	return strings.TrimSpace(out.String()), nil
}

// start starts a program and waits until address answers, from the machine.
func (b *bench) start(m *netlab.Machine, log, address string, env []string, argv ...string) (*process.Process, error) {
	cmd := m.Command(b.ctx, argv...)
	cmd.Env = append(os.Environ(), env...)
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	return process.Start(b.ctx, cmd, log, process.Listens(m, network, address))
}
