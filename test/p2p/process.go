//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/image2ipfs/image2ipfs/test/netlab"
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

// process is a program that runs on a machine until it is stopped.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// start starts a program and waits until address answers, from the machine.
func (b *bench) start(m *netlab.Machine, log, address string, env []string, argv ...string) (*process, error) {
	cmd := m.Command(b.ctx, argv...)
	cmd.Env = append(os.Environ(), env...)
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, log, make(chan struct{})}
	go func() {
		_ = cmd.Wait() // what it says is in the log
		close(p.done)
	}()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	for {
		if c, err := m.Dial(ctx, network, address); err == nil {
			return p, c.Close()
		}
		select {
		case <-p.done:
			return nil, fmt.Errorf("%s has ended: %s", strings.Join(argv, " "), p.last())
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s: %s does not answer: %s", argv[0], address, p.last()), p.stop())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// last is the end of what the program has said.
func (p *process) last() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-1000):]))
}

// stop asks the program to end, and kills it if it does not.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // unless it has ended
	select {
	case <-p.done:
		return nil
	case <-time.After(10 * time.Second):
		p.kill()
		return fmt.Errorf("%s did not end within 10 s of SIGTERM", strings.Join(p.cmd.Args, " "))
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // unless it has ended
	<-p.done
}

// peak is the most memory the program has had resident, in bytes.
func (p *process) peak() (int64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc does not tell the peak memory")
}

// cpu is the processor time that the program has used.
func (p *process) cpu() time.Duration {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}
