package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// cost is what running something took.
type cost struct {
	wall, cpu time.Duration
	rss       int64 // bytes, the most at any time
	temp      int64 // bytes in TMPDIR, the most that was seen
}

// errSlow is matched by the error of a program that took longer than it may.
var errSlow = errors.New("did not finish in time")

// command is a program to be run once.
type command struct {
	ctx    context.Context
	limit  time.Duration
	args   []string
	vars   []string
	stdout bytes.Buffer
	temp   string
}

func (b *bench) command(args ...string) *command {
	return &command{ctx: b.ctx, limit: b.limit, args: args}
}

func (c *command) env(vars ...string) *command {
	c.vars = append(c.vars, vars...)
	return c
}

// watch lets run tell how much there is in a temporary directory.
func (c *command) watch(dir string) *command {
	c.temp = dir
	return c.env("TMPDIR=" + dir)
}

func (c *command) prepare(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = append(os.Environ(), c.vars...)
	cmd.Stdout = &c.stdout
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run waits for the program and fails with what it said, or, matching
// [errSlow], when the limit is over.
func (c *command) run() (cost, error) {
	ctx, cancel := context.WithTimeoutCause(c.ctx, c.limit, errSlow)
	defer cancel()
	cmd := c.prepare(ctx)
	var said bytes.Buffer
	cmd.Stderr = &said
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return cost{}, err
	}
	done, most := make(chan struct{}), make(chan int64, 1)
	go func() { most <- watchSize(c.temp, done) }()
	err := cmd.Wait()
	used := spent(cmd.ProcessState, begin)
	close(done)
	used.temp = <-most
	switch {
	case err == nil:
		return used, nil
	case context.Cause(ctx) == errSlow:
		return used, fmt.Errorf("%s: %w (%s)", c.args[0], errSlow, c.limit)
	}
	return used, fmt.Errorf("%s: %w: %s", strings.Join(c.args, " "), err, last(said.String(), 500))
}

func spent(s *os.ProcessState, begin time.Time) cost {
	used := cost{wall: time.Since(begin), cpu: s.UserTime() + s.SystemTime()}
	if usage, ok := s.SysUsage().(*syscall.Rusage); ok {
		used.rss = usage.Maxrss << 10
	}
	return used
}

func last(s string, n int) string { return strings.TrimSpace(s[max(0, len(s)-n):]) }

func watchSize(dir string, done <-chan struct{}) (most int64) {
	for dir != "" {
		most = max(most, dirSize(dir))
		select {
		case <-done:
			return most
		case <-time.After(20 * time.Millisecond):
		}
	}
	return 0
}

func dirSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

func firstExecutable(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func have(program string) bool { return firstExecutable(program) != "" }
