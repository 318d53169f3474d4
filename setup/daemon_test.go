package setup

// Flags of a daemon's command line count as much as its file: one that is
// overlooked makes it fail at its next start.

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestRunning(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is /proc on Linux alone")
	}
	proc := t.TempDir()
	process := func(pid, cmdline, namespace string) {
		dir := filepath.Join(proc, pid)
		if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cmdline"), []byte(cmdline), 0o644); err != nil {
			t.Fatal(err)
		}
		stat := pid + " (a) b) S 1" + strings.Repeat(" 0", 17) + " 12300 0"
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(namespace, filepath.Join(dir, "ns/pid")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(proc, "stat"), []byte("cpu 1\nbtime 1000000\nprocesses 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	process("self", "x", "pid:[1]")
	process("7", "/usr/bin/containerd\x00--config\x00/data/c.toml\x00", "pid:[1]")
	process("8", "/usr/bin/containerd\x00--config=/in/a/container\x00", "pid:[2]")
	process("9", "containerd\x00--config\x00/var/run/docker/containerd/containerd.toml\x00", "pid:[1]")
	process("10", "/usr/bin/containerd-shim\x00", "pid:[1]")
	process("11", "", "pid:[1]")
	found := running(proc, "containerd", os.Geteuid() != 0)
	if len(found) != 1 || configFlag(found, "--config", "-c") != "/data/c.toml" || found[0].where != "containerd, process 7" || found[0].started.Unix() != 1000123 {
		t.Errorf("found %+v", found)
	}
	if found := running(proc, "containerd", os.Geteuid() == 0); len(found) > 0 {
		t.Errorf("another user's: %+v", found)
	}
}

func TestWords(t *testing.T) {
	environment := map[string]string{"OPTS": "--a --b='c d'", "X": "y"}
	var got []string
	for _, w := range words(`dockerd  "-H fd://" $OPTS --${X}=z $NONE`) {
		got = append(got, expanded(w, environment)...)
	}
	if want := []string{"dockerd", "-H fd://", "--a", "--b=c d", "--y=z"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A dockerd that validates refuses a file that is not there: the undo of a setup that
// made the file does not ask it.
func TestUndoOfNewFileByValidatingDockerd(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in is a shell script")
	}
	m := newMachine(t, map[string]string{"etc/docker/key.json": "x"})
	program := filepath.Join(t.TempDir(), "dockerd")
	script := "#!/bin/sh\ncase $* in --help) echo --validate ;; *) [ -e " + m.root + "/etc/docker/daemon.json ] ;; esac\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	before := m.state()
	o := Options{Engine: "docker", Root: m.root, Program: []string{program}}
	m.run(o)
	o.Undo = true
	m.run(o)
	m.same(before)
}
