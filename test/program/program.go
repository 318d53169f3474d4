// Package program runs the image2ipfs binary as its users do: commands on a
// store, servers that are killed and started again, clients that pull.
package program

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/image2ipfs/image2ipfs/test/process"
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
	run  *process.Process
}

// Serve starts a server on a free port of 127.0.0.1 and waits until it answers.
func (p Program) Serve(ctx context.Context, args ...string) (*Server, error) {
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	s := &Server{Program: p, Addr: addr, args: args}
	return s, s.Start(ctx)
}

// Start starts a server that was killed, on the address it had, and waits until
// it answers.
func (s *Server) Start(ctx context.Context) (err error) {
	cmd := s.Command(append([]string{"serve", "--addr", s.Addr}, s.args...)...)
	if s.run, err = process.Start(ctx, cmd, s.Log, s.answers); err != nil {
		return fmt.Errorf("%w\n%s", err, s.Complaints())
	}
	return nil
}

// answers is the condition that the server answers, be it that it is not healthy, as on a
// disk that takes nothing.
func (s *Server) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Alive tells whether the server answers.
func (s *Server) Alive() bool { return s.answers(context.Background()) == nil }

// Kill ends the server by SIGKILL and waits for its end.
func (s *Server) Kill() {
	if s.run != nil {
		s.run.Kill()
	}
}

// Memory is the resident memory in bytes; 0 where /proc does not tell.
func (s *Server) Memory() int64 {
	n, err := s.run.Memory()
	if err != nil {
		return 0
	}
	return n
}
