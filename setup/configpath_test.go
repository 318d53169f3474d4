package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// CRI of containerd 2.1 and later reads nothing where config_path names several
// directories: setup writes none of these, and refuses those that are there.
func TestSeveralDirectories(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-ins are shell scripts")
	}
	const config, both = "etc/containerd/config.toml", "/etc/containerd/certs.d:/etc/docker/certs.d"
	two := fmt.Sprintf("version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = %q\n", both)
	docker := map[string]string{"etc/docker/certs.d/registry.corp/hosts.toml": "x"}
	for name, c := range map[string]struct {
		version string
		files   map[string]string
		path    string // in config.toml afterwards
		refused string
	}{
		"2.0 reads both":                 {"containerd github.com/containerd/containerd/v2 v2.0.5 fb4c30d", docker, both, ""},
		"1.6 of Debian":                  {"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u2", docker, both, ""},
		"the second has nothing":         {"containerd containerd.io 1.7.27 05044ec", nil, "/etc/containerd/certs.d", ""},
		"2.1":                            {"containerd github.com/containerd/containerd/v2 2.1.9 h", docker, "/etc/containerd/certs.d", ""},
		"2.4 with the default of 2.2":    {"containerd github.com/containerd/containerd/v2 2.4.2 h", map[string]string{config: two}, "/etc/containerd/certs.d", ""},
		"2.4 without transfer service":   {"containerd github.com/containerd/containerd/v2 2.4.2 h", map[string]string{config: strings.Replace(two, "[plugins", "[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\n[plugins", 1)}, both, ""},
		"2.4, and both are used":         {"containerd github.com/containerd/containerd/v2 2.4.2 h", map[string]string{config: two, "etc/docker/certs.d/registry.corp/hosts.toml": "x"}, "", `line 3: config_path names several directories`},
		"2.4, docker.io is elsewhere":    {"containerd github.com/containerd/containerd/v2 2.4.2 h", map[string]string{config: two, hostsHub: "server = 'https://hub.corp'\n"}, "", `line 3: config_path names several directories`},
		"2.0 with both":                  {"containerd github.com/containerd/containerd/v2 2.0.5 h", map[string]string{config: two}, both, ""},
		"a version that nobody can read": {"containerd development", docker, both, ""},
	} {
		m := newMachine(t, c.files)
		p, err := New(Options{Engine: "containerd", Root: m.root, Program: m.program(c.version), Server: "http://127.0.0.1:5000"})
		if c.refused != "" {
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), `config_path = "/etc/containerd/certs.d"`) {
				t.Errorf("%s: %v, want %q", name, err, c.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p.check = nil // the stand-in has no configuration to show
		if err := p.Write(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if text := m.files()[config]; !strings.Contains(text, fmt.Sprintf("\n  config_path = %q", c.path)) && !strings.Contains(text, fmt.Sprintf("\nconfig_path = %q", c.path)) {
			t.Errorf("%s: %s, want config_path %s", name, text, c.path)
		}
	}
	m := newMachine(t, map[string]string{config: two, hostsHub: "server = 'https://hub.corp'\n"})
	p := m.plan(Options{Engine: "containerd"})
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, "line 3: config_path names several directories") {
		t.Errorf("nothing is said of what CRI may not read: %s", notes)
	}
}

// program is a stand-in for an engine's own program, which says its version alone.
func (m machine) program(version string) []string {
	m.Helper()
	path := filepath.Join(m.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+version+"'\n"), 0o755); err != nil {
		m.Fatal(err)
	}
	return []string{path}
}
