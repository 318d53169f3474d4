//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// waits tells whether a thread of a process waits in one of these functions of Linux.
func waits(t *testing.T, pid int, in ...string) bool {
	t.Helper()
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "wchan"))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		where, err := os.ReadFile(thread)
		for _, name := range in {
			if err == nil && strings.Contains(string(where), name) {
				return true
			}
		}
	}
	return false
}

// Ctrl-C ends a command that waits for somebody to write into a named pipe at once,
// whichever it is and whatever the pipe is to hold.
func TestInterruptedAtANamedPipe(t *testing.T) {
	for what, args := range map[string][]string{
		"publish":             {"publish", "PIPE"},
		"publish -n":          {"publish", "-n", "oci-archive:PIPE"},
		"publish --from":      {"publish", "--from", "PIPE"},
		"restore":             {"restore", "PIPE"},
		"name import":         {"name", "import", "app", "PIPE"},
		"service add":         {"service", "add", "one", "https://pins.example/psa", "--token-file", "PIPE"},
		"publish, writer":     {"publish", "PIPE"},
		"restore, writer":     {"restore", "PIPE"},
		"name import, writer": {"name", "import", "app", "PIPE"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			pipe := filepath.Join(t.TempDir(), "p")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			for i := range args {
				args[i] = strings.Replace(args[i], "PIPE", pipe, 1)
			}
			cmd := exec.Command("image2ipfs", args...)
			cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+t.TempDir(), "IPFS_API=", "IPFS_PATH=")
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timeout := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			defer timeout.Stop()
			if strings.HasSuffix(what, "writer") { // who opens and writes nothing
				w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
			} else { // elsewhere than on Linux nothing tells that it waits
				for end := time.Now().Add(20 * time.Second); !waits(t, cmd.Process.Pid, "wait_for_partner", "fifo_open") && time.Now().Before(end); {
					time.Sleep(10 * time.Millisecond)
				}
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
				t.Errorf("ended with %v, expected exit code %d; standard error: %s", err, exitInterrupted, stderr.String())
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
