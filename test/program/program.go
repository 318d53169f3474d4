// Package program runs the image2ipfs binary as its users do: commands on a
// store, servers that are killed and started again, clients that pull.
package program

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
	"time"
)

// Program is the binary with one store.
type Program struct {
	Binary string
	Store  string
	Log    string // where its servers write
}

// Command is a command on the store, with the embedded node alone.
func (p Program) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.Binary, args...)
	cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+p.Store, "IPFS_API=", "IPFS_PATH=", "IPFS_GATEWAY=")
	return cmd
}

// Complaints are the last lines of the servers' log that tell of more than
// requests answered.
func (p Program) Complaints() string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, "level=INFO") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

// Server is a running "image2ipfs serve".
type Server struct {
	Program
	Addr string // host:port
	args []string
	cmd  *exec.Cmd
}

// Serve starts a server on a free port of 127.0.0.1 and waits until it answers.
func (p Program) Serve(ctx context.Context, args ...string) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Program: p, Addr: l.Addr().String(), args: args}
	if err := l.Close(); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

const startTimeout = 30 * time.Second

// Start starts a server that was killed, on the address it had, and waits until
// it answers.
func (s *Server) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.cmd = s.Command(append([]string{"serve", "--addr", s.Addr}, s.args...)...)
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if s.Alive() {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.Kill()
	return fmt.Errorf("the server on %s does not answer: %w\n%s", s.Addr, ctx.Err(), s.Complaints())
}

// Alive tells whether the server answers.
func (s *Server) Alive() bool {
	resp, err := http.Get("http://" + s.Addr + "/healthz")
	return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// Kill ends the server by SIGKILL and waits for its end.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // tells that it was killed
}

// Memory is the resident memory in bytes; 0 where /proc does not tell.
func (s *Server) Memory() int64 {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
