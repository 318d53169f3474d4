package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.podman.io/storage/pkg/reexec"
)

// inside is set in the processes whose mounts nobody else sees.
const inside = "IMAGE2IPFS_TEST_MOUNTS"

// TestMain runs the tests in a mount namespace and a temporary directory of their
// own. A store keeps an overlay mounted, and the workers of a fuzz run are killed
// when its time is over: what they have mounted ends with them, and what they have
// written is removed.
func TestMain(m *testing.M) {
	if reexec.Init() {
		return
	}
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	code, err := apart()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// apart runs this program again and gives its exit code, 1 with an error.
func apart() (code int, err error) {
	dir, err := os.MkdirTemp("", "partial-test-")
	if err != nil {
		return 1, err
	}
	defer func() {
		if e := os.RemoveAll(dir); e != nil {
			code, err = 1, errors.Join(err, e)
		}
	}()
	runtime.LockOSThread() // which is what Pdeathsig waits for
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, fmt.Sprintf("%s=%d", inside, os.Getpid()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM) // cleaning up comes first
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended by itself
		}
	}()
	err = cmd.Wait()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return max(1, failed.ExitCode()), nil
	}
	return 0, err
}

// Nothing that a store mounts is seen outside, and nothing that it writes lies
// where it would stay.
func TestMountsAreOurOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts overlays")
	}
	parent := os.Getenv(inside)
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.Readlink("/proc/" + parent + "/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	if ours == theirs {
		t.Errorf("these tests mount where process %s does: %s", parent, ours)
	}
	dir := t.TempDir()
	if !strings.HasPrefix(dir, os.Getenv("TMPDIR")+"/partial-test-") && !strings.Contains(dir, "/partial-test-") {
		t.Errorf("temporary directory %s", dir)
	}
	store, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := store.Shutdown(true); err != nil {
			t.Error(err)
		}
	})
	for pid, want := range map[string]bool{"self": true, parent: false} {
		mounts, err := os.ReadFile("/proc/" + pid + "/mounts")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(mounts), dir); got != want {
			t.Errorf("process %s sees what is mounted in %s: %v, want %v", pid, dir, got, want)
		}
	}
}
