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
	"time"
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
	process("12", "containerd\x00-c\x00/var/lib/rancher/k3s/agent/etc/containerd/config.toml\x00", "pid:[1]")
	process("13", "/var/lib/k0s/bin/containerd\x00--root=/var/lib/k0s/containerd\x00", "pid:[1]")
	process("14", "/snap/microk8s/1/bin/containerd\x00--root\x00/var/snap/microk8s/common/var/lib/containerd\x00", "pid:[1]")
	process("15", "containerd\x00-c\x00/var/lib/rancher/rke2/agent/etc/containerd/config.toml\x00-a\x00/run/k3s/containerd/containerd.sock\x00", "pid:[1]")
	process("10", "/usr/bin/containerd-shim\x00", "pid:[1]")
	process("11", "", "pid:[1]")
	found := running(proc, "containerd", "", os.Geteuid())
	if len(found) != 1 || configFlag(found, "--config", "-c") != "/data/c.toml" || found[0].where != "containerd, process 7" || found[0].started.Unix() != 1000123 {
		t.Errorf("found %+v", found)
	}
	for _, other := range []int{os.Geteuid() + 1, 0} {
		if found := running(proc, "containerd", "", other); other != os.Geteuid() && len(found) > 0 {
			t.Errorf("taken for user %d's: %+v", other, found)
		}
	}
	for owner, where := range map[string]string{"docker": "process 9", "k3s": "process 12", "rke2": "process 15", "k0s": "process 13", "microk8s": "process 14"} {
		if found := running(proc, "containerd", owner, os.Geteuid()); len(found) != 1 || !strings.HasSuffix(found[0].where, where) {
			t.Errorf("%s's: %+v", owner, found)
		}
	}
}

// Without root it is the user's own daemon whose flags count, or that of whose home
// directory is given, and no other user's.
func TestUserOfEngine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked at on Linux alone")
	}
	home := t.TempDir()
	owner := os.Geteuid()
	if owner == 0 {
		owner = 1234
		if err := os.Chown(home, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		o    Options
		want int
	}{
		"root's":                {Options{Home: home}, 0},
		"the caller's":          {Options{Rootless: true, Home: home, ownHome: true}, os.Geteuid()},
		"not completed":         {Options{Rootless: true}, os.Geteuid()},
		"another user's":        {Options{Rootless: true, Home: home}, owner},
		"of whose home is gone": {Options{Rootless: true, Home: home + "/none"}, os.Geteuid()},
	} {
		if got := c.o.user(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// K3s shows a title in place of its command line, and is started with variables.
func TestTitled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is /proc on Linux alone")
	}
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "7"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cmdline": "/usr/local/bin/k3s agent\x00\x00\x00", "environ": "A=b\x00K3S_CONFIG_FILE=/data/k3s.yaml\x00"} {
		if err := os.WriteFile(filepath.Join(proc, "7", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found := running(proc, "k3s", "", os.Geteuid())
	config, _ := variableOf(found, "K3S_CONFIG_FILE")
	if len(found) != 1 || !slices.Equal(found[0].argv, []string{"/usr/local/bin/k3s", "agent"}) || config != "/data/k3s.yaml" {
		t.Errorf("found %+v", found)
	}
}

// A dockerd that runs without the flag that its unit has is restarted: a reload reads
// no flags.
func TestFlagsCountAfterRestart(t *testing.T) {
	now := time.Now()
	with := []string{"dockerd", "--registry-mirror", ours + "/"}
	for name, c := range map[string]struct {
		daemons []daemon
		want    bool
	}{
		"runs with it":          {[]daemon{{argv: with, started: now}, {argv: with}}, false},
		"was started before it": {[]daemon{{argv: []string{"dockerd"}, started: now}, {argv: with}}, true},
		"does not run":          {[]daemon{{argv: with}}, true},
	} {
		next := dockerFlags(Options{}, c.daemons, ours)
		if restart := strings.Contains(strings.Join(next, " "), "daemon-reload && sudo systemctl restart docker"); restart != c.want {
			t.Errorf("%s: %q", name, next)
		}
	}
}

// What is left to do is said where nothing has to be written, too.
func TestRestartIsDueWithoutChanges(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("units are Linux's")
	}
	m := newMachine(t, map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd --registry-mirror " + ours + "\n", "etc/docker/key.json": "x"})
	if p := m.plan(Options{Engine: "docker"}); len(p.Changes) != 0 || len(p.Next) != 1 || !strings.HasPrefix(p.Next[0], dockerRestart) {
		t.Errorf("changes %d, next %q", len(p.Changes), p.Next)
	}
}

// The certs.d of K3s and RKE2 lies where their data does.
func TestCertsBelowDataDir(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"k3s, config.yaml":  {"etc/rancher/k3s/config.yaml": "data-dir: /data/k3s\n"},
		"k3s, a flag":       {"etc/systemd/system/k3s.service": "[Service]\nExecStart=/usr/local/bin/k3s server -d /data/k3s\n"},
		"rke2, a variable":  {"etc/systemd/system/rke2-agent.service": "[Service]\nEnvironment=RKE2_DATA_DIR=/data/rke2\nExecStart=/usr/local/bin/rke2 agent\n"},
		"rke2, none":        {"etc/rancher/rke2/config.yaml": "token: x\n"},
		"k3s, OpenRC's env": {"etc/init.d/k3s": "command_args=\"server\"\n", "etc/rancher/k3s/k3s.env": "K3S_DATA_DIR=\"/data/k3s\"\n"},
	} {
		m := newMachine(t, files)
		engine, how, _ := strings.Cut(name, ", ")
		want := "data/" + engine
		if how == "none" {
			want = "var/lib/rancher/rke2"
		}
		if dir, err := CertsDir(engine, Options{Root: m.root}); err != nil || dir != m.path(want+"/agent/etc/containerd/certs.d") {
			t.Errorf("%s: %s %v", name, dir, err)
		}
	}
	m := newMachine(t, map[string]string{"etc/rancher/k3s/config.yaml": "", "etc/init.d/k3s-agent": "command_args=\"agent\"\n"})
	if p := m.plan(Options{Engine: "k3s"}); len(p.Next) != 1 || !strings.HasPrefix(p.Next[0], "sudo rc-service k3s-agent restart") {
		t.Errorf("next is %q", p.Next)
	}
}

// Whether a file is newer than what runs is told by hundredths of seconds: it may have
// been written just before a restart, or just after.
func TestStartIsExact(t *testing.T) {
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "7"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"uptime": "1000.50 2000.00\n", "stat": "btime 5\n", "7/stat": "7 (a) S 1" + strings.Repeat(" 0", 17) + " 100025 0"} {
		if err := os.WriteFile(filepath.Join(proc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now()
	started := startOf(proc, "7")
	if after := time.Now(); started.Before(before.Add(-250*time.Millisecond)) || started.After(after.Add(-250*time.Millisecond)) {
		t.Errorf("started %v ago, expected 250 ms", time.Since(started))
	}
}

// What is to be restarted is what runs here: of K3s and RKE2 a server or an agent.
func TestRestart(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("units are Linux's")
	}
	for unit, want := range map[string]string{"k3s": "k3s", "k3s-agent": "k3s-agent", "rke2-server": "rke2-server", "rke2-agent": "rke2-agent", "none": "rke2-server"} {
		engine, role, _ := strings.Cut(unit, "-")
		if unit == "none" {
			engine = "rke2"
		} else if role == "" {
			role = "server"
		}
		m := newMachine(t, map[string]string{"etc/systemd/system/" + unit + ".service": "[Service]\nExecStart=/usr/local/bin/" + engine + " \\\n    " + role + "\n", "etc/rancher/" + engine + "/config.yaml": ""})
		if p := m.plan(Options{Engine: engine}); len(p.Next) != 1 || !strings.HasPrefix(p.Next[0], "sudo systemctl restart "+want+"   #") {
			t.Errorf("%s: next is %q", unit, p.Next)
		}
	}
	drop := newMachine(t, map[string]string{"etc/k0s/containerd.toml": "# k0s_managed=true\nversion = 2\n"}).plan(Options{Engine: "k0s"})
	if len(drop.Next) > 0 || !strings.Contains(strings.Join(drop.Notes, "\n"), "by itself") {
		t.Errorf("k0s, a drop-in: next is %q, notes %q", drop.Next, drop.Notes)
	}
	own := newMachine(t, map[string]string{"etc/k0s/containerd.toml": "version = 2\n"}).plan(Options{Engine: "k0s"})
	if len(own.Next) != 1 || !strings.HasPrefix(own.Next[0], "sudo k0s stop && sudo k0s start   #") {
		t.Errorf("k0s, the user's own file: next is %q", own.Next)
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
