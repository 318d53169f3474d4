package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// program is the binary with one store.
type program struct{ binary, store string }

func (p program) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.binary, args...)
	cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+p.store, "IPFS_API=", "IPFS_PATH=", "IPFS_GATEWAY=")
	return cmd
}

// log is where its servers write.
func (p program) log() string { return p.store + ".log" }

// complaints are the last lines of the log that tell of more than requests
// answered.
func (p program) complaints() string {
	data, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, line := range strings.Split(string(data), "\n") {
		if line != "" && !strings.Contains(line, "level=INFO") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// process is a running server.
type process struct {
	program
	addr string
	args []string
	cmd  *exec.Cmd
}

// serve starts a server, on a free port unless addr names one, and waits until
// it answers.
func (p program) serve(ctx context.Context, addr string, args ...string) (*process, error) {
	if addr == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addr = l.Addr().String()
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	s := &process{program: p, addr: addr, args: args}
	s.cmd = p.command(append([]string{"serve", "--addr", addr}, args...)...)
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for ctx.Err() == nil {
		resp, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			return s, resp.Body.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("server on %s: %w", addr, ctx.Err())
}

// stop kills the server: that is what happens to gateways.
func (s *process) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // killed
}

// memory is the resident memory in bytes; 0 where /proc does not tell.
func (s *process) memory() int64 {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "status"))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

var kills atomic.Int64

// alternate kills one gateway after the other and starts it again; one always
// runs, and has run for long enough to be found again.
func alternate(ctx context.Context, gateways []*process) error {
	const pause = 8 * time.Second
	for i := 0; ; i = (i + 1) % len(gateways) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		gateways[i].stop()
		kills.Add(1)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause / 4):
		}
		again, err := gateways[i].serve(context.WithoutCancel(ctx), gateways[i].addr, gateways[i].args...)
		if err != nil {
			return err
		}
		gateways[i].cmd = again.cmd
	}
}
