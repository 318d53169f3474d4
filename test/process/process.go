// Package process runs the servers that tests and benchmarks need: started with
// a log, waited for until they answer, asked to end and killed if they do not.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Process is a program that runs until it is stopped.
type Process struct {
	Cmd   *exec.Cmd
	Log   string // file with all that it has said
	Begun time.Time

	done chan struct{} // closed when it has ended
	err  error         // how it has ended; read behind done
}

const (
	// StartPatience is how long a program may take until it answers.
	StartPatience = 30 * time.Second
	// StopPatience is how long a program may take to end after SIGTERM.
	StopPatience = 20 * time.Second
)

// Start starts cmd, whose output is appended to the file log, and waits until
// ready gives nil, or ends the program. The error tells what the program said,
// and wraps what ready said last. Without ready nothing is waited for.
func Start(ctx context.Context, cmd *exec.Cmd, log string, ready func(context.Context) error) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	p := &Process{Cmd: cmd, Log: log, Begun: time.Now(), done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	if ready == nil {
		return p, nil
	}
	if err := p.await(ctx, ready); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s: %w; it said: %s", strings.Join(cmd.Args, " "), err, p.Last())
	}
	return p, nil
}

// await waits until the program is ready; one that has ended is not waited for.
func (p *Process) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, StartPatience)
	defer cancel()
	ended := errors.New("ended at once")
	err := Await(ctx, func() error {
		select {
		case <-p.done:
			cancel()
			return fmt.Errorf("%w (%v)", ended, p.err)
		default:
			return ready(ctx)
		}
	})
	if err == nil || errors.Is(err, ended) {
		return err
	}
	return fmt.Errorf("not ready within %v: %w", StartPatience, err)
}

// Last is the end of what the program has said.
func (p *Process) Last() string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-2000):]))
}

// Stop asks the program to end, in order and in time. The error tells that it
// failed, or that it had to be killed.
func (p *Process) Stop() error {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s: after SIGTERM: %w; it said: %s", strings.Join(p.Cmd.Args, " "), p.err, p.Last())
		}
		return nil
	case <-time.After(StopPatience):
		p.Kill()
		return fmt.Errorf("%s did not end within %v of SIGTERM; it said: %s", strings.Join(p.Cmd.Args, " "), StopPatience, p.Last())
	}
}

// Kill ends the program by SIGKILL and waits for its end.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // fails if it has ended
	<-p.done
}
