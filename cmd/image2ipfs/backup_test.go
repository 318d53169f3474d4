//go:build unix

package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// backupStore makes a store with an image of 32 MiB, and gives its path.
func backupStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	t.Setenv("IMAGE2IPFS_PATH", dir)
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	data := make([]byte, 32<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data)
	publishBlob(t, store, data)
	return dir
}

// onStore is a command on the store in a directory.
func onStore(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "image2ipfs", args...)
	cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+dir, "IPFS_API=", "IPFS_PATH=")
	return cmd
}

func mustRun(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, errs.String())
	}
	return out.String()
}

// Who is killed while he restores leaves the store as it was, and the next one does it.
func TestRestoreIsKilled(t *testing.T) {
	from, to := backupStore(t), filepath.Join(t.TempDir(), "to")
	file := filepath.Join(t.TempDir(), "b.car")
	mustRun(t, onStore(t, from, "backup", "-q", file))
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []int{len(whole) / 2, len(whole) - 1} {
		cmd := onStore(t, to, "restore", "-")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(in, bytes.NewReader(whole[:part])); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if out := mustRun(t, onStore(t, to, "ls", "-q")); out != "" {
			t.Errorf("after a restore that was killed at byte %d there is %s", part, out)
		}
	}
	mustRun(t, onStore(t, to, "restore", file))
	mustRun(t, onStore(t, to, "gc"))
	mustRun(t, onStore(t, to, "verify", "--all"))
	if a, b := mustRun(t, onStore(t, to, "ls")), mustRun(t, onStore(t, from, "ls")); a != b {
		t.Errorf("it is %s, not %s", a, b)
	}
	left, err := os.ReadDir(filepath.Join(to, "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("gc leaves %v, %v", left, err)
	}
}

// Who is killed, or interrupted, while he copies leaves no file that looks whole and is not.
func TestBackupIsEnded(t *testing.T) {
	from := backupStore(t)
	for _, how := range []os.Signal{os.Kill, os.Interrupt} {
		dir := t.TempDir()
		file := filepath.Join(dir, "b.car")
		cmd := onStore(t, from, "backup", "-q", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(time.Millisecond) {
			if parts, _ := filepath.Glob(filepath.Join(dir, ".b.car.part-*")); len(parts) > 0 {
				break
			}
		}
		_ = cmd.Process.Signal(how) // it may have ended by now
		_ = cmd.Wait()
		if _, err := os.Stat(file); err == nil { // it was quicker
			mustRun(t, onStore(t, filepath.Join(dir, "store"), "restore", file))
		}
		if parts, _ := filepath.Glob(filepath.Join(dir, ".b.car.part-*")); len(parts) > 0 && how != os.Kill {
			t.Errorf("%v leaves %v", how, parts)
		}
	}
}

// A full disk behind a pipe is a failure that is told.
func TestBackupIntoFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	cmd := onStore(t, backupStore(t), "backup", "-")
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = full, &errs
	if err := cmd.Run(); err == nil || !strings.Contains(errs.String(), "no space left on device") {
		t.Errorf("%v: %s", err, errs.String())
	}
}
