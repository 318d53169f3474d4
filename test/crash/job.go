package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/test/program"
)

// job is a command under way.
type job struct {
	image          int // of the trial; -1 for none
	args           []string
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	err            error
}

func newJob(p program.Program, image int, args ...string) *job {
	j := &job{image: image, args: args, cmd: p.Command(args...)}
	j.cmd.Stdout, j.cmd.Stderr = &j.stdout, &j.stderr
	return j
}

func (j *job) start() error { return j.cmd.Start() }

func (j *job) kill() { _ = j.cmd.Process.Kill() } // fails when it has ended

const patience = 2 * time.Minute

// wait waits for the end; a command that hangs is an error.
func (j *job) wait() error {
	timer := time.AfterFunc(patience, j.kill)
	j.err = j.cmd.Wait()
	if !timer.Stop() {
		return fmt.Errorf("image2ipfs %s: no end after %s", strings.Join(j.args, " "), patience)
	}
	return nil
}

func (j *job) killed() bool { return !j.cmd.ProcessState.Exited() }

func (j *job) failure() error {
	return fmt.Errorf("image2ipfs %s: %w: %s", strings.Join(j.args, " "), j.err, j.stderr.String())
}
