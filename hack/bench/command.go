package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
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

// command is a program to be run once.
type command struct {
	ctx    context.Context
	args   []string
	vars   []string
	stdout bytes.Buffer
	temp   string
}

func (b *bench) command(args ...string) *command { return &command{ctx: b.ctx, args: args} }

func (c *command) env(vars ...string) *command {
	c.vars = append(c.vars, vars...)
	return c
}

// watch lets run tell how much there is in a temporary directory.
func (c *command) watch(dir string) *command {
	c.temp = dir
	return c.env("TMPDIR=" + dir)
}

func (c *command) start() *exec.Cmd {
	cmd := exec.CommandContext(c.ctx, c.args[0], c.args[1:]...)
	cmd.Env = append(os.Environ(), c.vars...)
	cmd.Stdout = &c.stdout
	return cmd
}

// run waits for the program and fails with what it said.
func (c *command) run() (cost, error) {
	cmd := c.start()
	var said bytes.Buffer
	cmd.Stderr = &said
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return cost{}, err
	}
	done, most := make(chan struct{}), make(chan int64, 1)
	go func() { most <- watchSize(c.temp, done) }()
	err := cmd.Wait()
	used := cost{wall: time.Since(begin), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	close(done)
	used.temp = <-most
	if err != nil {
		return used, fmt.Errorf("%s: %w: %s", strings.Join(c.args, " "), err, last(said.String(), 500))
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		used.rss = usage.Maxrss << 10
	}
	return used, nil
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

// daemon starts a program and waits until url answers. stop ends it and tells
// what it cost.
func (c *command) daemon(url string) (stop func() cost, err error) {
	cmd := c.start()
	log, err := os.CreateTemp("", "bench-log-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(log.Name())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	ctx, cancel := context.WithCancel(c.ctx)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	died := make(chan error, 1)
	go func() { died <- cmd.Wait() }()
	stop = func() cost {
		cancel()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-died
		log.Close()
		s := cmd.ProcessState
		used := cost{wall: time.Since(begin), cpu: s.UserTime() + s.SystemTime()}
		if usage, ok := s.SysUsage().(*syscall.Rusage); ok {
			used.rss = usage.Maxrss << 10
		}
		return used
	}
	for deadline := time.Now().Add(30 * time.Second); !answers(ctx, url); time.Sleep(time.Millisecond) {
		select {
		case err := <-died:
			died <- err
			said, _ := os.ReadFile(log.Name())
			stop()
			return nil, fmt.Errorf("%s: ended with %v: %s", strings.Join(c.args, " "), err, last(string(said), 500))
		default:
		}
		if time.Now().After(deadline) {
			stop()
			return nil, errors.New(url + " does not answer")
		}
	}
	return stop, nil
}

// answers tells whether a URL gives anything but an error of the server, or,
// for unix:PATH, whether somebody listens there.
func answers(ctx context.Context, url string) bool {
	if path, ok := strings.CutPrefix(url, "unix:"); ok {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	method := http.MethodGet
	if strings.Contains(url, "/api/v0/") {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode < 500
}

// freePort gives a TCP address that nobody uses.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
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
