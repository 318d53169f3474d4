package setup

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestUndoElsewhere: without it an undo says that there is nothing to write, and what setup
// has written stays, where the configuration leads to other files than it did then.
func TestUndoElsewhere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these engines' files are those of Linux")
	}
	for name, c := range map[string]struct {
		engine string
		files  map[string]string // that come between setup and undo
		want   []string          // of the notes
	}{
		"podman's file of the user":         {"podman", map[string]string{"root/.config/containers/registries.conf": "unqualified-search-registries = [\"docker.io\"]\n"}, []string{"--config ROOT/etc/containers/registries.conf"}},
		"docker with another file":          {"docker", map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd --config-file=/data/docker.json\n", "data": "/"}, []string{"--config ROOT/etc/docker/daemon.json"}},
		"containerd with another file":      {"containerd", map[string]string{unitCtrd: "[Service]\nExecStart=/usr/bin/containerd --config /data/c.toml\n", "data/c.toml": "version = 2\n" + criTable + "\n  config_path = \"/data/certs\"\n"}, []string{"--config ROOT/etc/containerd/config.toml", "--hosts-dir ROOT/etc/containerd/certs.d"}},
		"k3s with another registries.yaml":  {"k3s", map[string]string{"etc/rancher/k3s/config.yaml": "private-registry: /data/registries.yaml\n", "data": "/"}, []string{"--config ROOT/etc/rancher/k3s/registries.yaml"}},
		"nerdctl with another directory":    {"nerdctl", map[string]string{"etc/nerdctl/nerdctl.toml": "hosts_dir = [\"/data\"]\n", "data": "/"}, []string{"--hosts-dir ROOT/etc/containerd/certs.d"}},
		"nothing has changed in between":    {"podman", nil, nil},
		"docker, and nothing in between":    {"docker", nil, nil},
		"nerdctl, and nothing in between":   {"nerdctl", nil, nil},
		"containerd, nothing is in between": {"containerd", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, nil)
			if c.engine == "k3s" {
				m.place("etc/rancher/k3s", "/")
			}
			m.run(Options{Engine: c.engine})
			for path, text := range c.files {
				m.place(path, text)
			}
			undo := Options{Engine: c.engine, Undo: true}
			notes := strings.Join(m.run(undo).Notes, "\n")
			if len(c.want) == 0 && strings.Contains(notes, "is not where") {
				t.Errorf("notes are %s", notes)
			}
			for _, want := range c.want {
				flag, path, _ := strings.Cut(strings.ReplaceAll(want, "ROOT", m.root), " ")
				if !strings.Contains(notes, "image2ipfs setup "+c.engine+" --undo "+flag+" "+path) {
					t.Errorf("notes are %s, want %s %s", notes, flag, path)
				}
				told := undo // as it was told
				if told.Config = path; flag == "--hosts-dir" {
					told.Config, told.HostsDir = "", path
				}
				m.run(told)
			}
			for path, text := range m.files() {
				if strings.Contains(text, "127.0.0.1:5000") {
					t.Errorf("%s is left: %s", path, text)
				}
			}
		})
	}
}

// TestUndoOfShared: without it the undo of nerdctl takes from containerd's CRI what setup of
// containerd has put in.
func TestUndoOfShared(t *testing.T) {
	m := newMachine(t, nil)
	m.run(Options{Engine: "nerdctl"})
	m.run(Options{Engine: "containerd"})
	before := m.files()
	p := m.run(Options{Engine: "nerdctl", Undo: true})
	m.expect(before)
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, "image2ipfs setup containerd --undo takes out both") {
		t.Errorf("notes are %s", notes)
	}
	m.run(Options{Engine: "containerd", Undo: true})
	if names, err := os.ReadDir(filepath.Join(m.root, "etc")); err == nil && len(names) > 0 {
		t.Errorf("left is %q", m.files())
	}
}
