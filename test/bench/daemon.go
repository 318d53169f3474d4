package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// daemon is a server that runs.
type daemon struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	died   chan error
	begin  time.Time
	log    string // a file
}

// daemon starts a program and waits until url answers.
func (c *command) daemon(url string) (*daemon, error) {
	log, err := os.CreateTemp("", "bench-log-")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(c.ctx)
	d := &daemon{cmd: c.prepare(ctx), cancel: cancel, died: make(chan error, 1), begin: time.Now(), log: log.Name()}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		cancel()
		return nil, errors.Join(err, os.Remove(d.log))
	}
	go func() { d.died <- d.cmd.Wait() }()
	if err := d.await(ctx, url); err != nil {
		said, _ := os.ReadFile(d.log)
		d.stop()
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(c.args, " "), err, last(string(said), 500))
	}
	return d, nil
}

func (d *daemon) await(ctx context.Context, url string) error {
	for deadline := time.Now().Add(30 * time.Second); !answers(ctx, url); time.Sleep(time.Millisecond) {
		select {
		case err := <-d.died:
			d.died <- err
			return fmt.Errorf("ended with %v", err)
		default:
		}
		if time.Now().After(deadline) {
			return errors.New(url + " does not answer")
		}
	}
	return nil
}

// stop ends the server and tells what it cost in all.
func (d *daemon) stop() cost {
	d.cancel()
	err := <-d.died
	d.died <- err // for whoever stops it again
	os.Remove(d.log)
	return spent(d.cmd.ProcessState, d.begin)
}

// cpu is the processor time that the server has used so far.
func (d *daemon) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, fields, _ := strings.Cut(string(stat), ") ") // behind the name: state is the third field
	var user, system int64
	words := strings.Fields(fields)
	if len(words) < 13 {
		return 0
	}
	fmt.Sscan(words[11], &user)
	fmt.Sscan(words[12], &system)
	return time.Duration(user+system) * time.Second / userHz
}

const userHz = 100 // ticks a second in /proc, on every Linux there is

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
