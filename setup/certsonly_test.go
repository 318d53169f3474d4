package setup

import (
	"errors"
	"strings"
	"testing"
)

// TestCertsOnly: without it the pods that set up the nodes of a cluster would edit a
// configuration that containerd reads at its next start only, whoever starts it then.
func TestCertsOnly(t *testing.T) {
	const (
		unset = "version = 2\n"
		set   = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n"
	)
	o := Options{Engine: "containerd", CertsOnly: true}
	for name, before := range map[string]string{
		"config_path is set": set,
		"in a drop-in":       "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n",
		"by setup":           unset,
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"etc/containerd/config.toml": before}
			if strings.Contains(before, "conf.d") {
				files["etc/containerd/conf.d/registry.toml"] = set
			}
			m := newMachine(t, files)
			if name == "by setup" {
				m.run(Options{Engine: "containerd"})
				m.run(Options{Engine: "containerd", Undo: true, CertsOnly: true})
			}
			files = m.files()
			if p := m.run(o); len(p.Next) > 0 {
				t.Errorf("after certs.d alone was written there is to do: %q", p.Next)
			}
			for name, text := range m.files() {
				if was, ok := files[name]; strings.Contains(name, "certs.d/") == ok || ok && was != text {
					t.Errorf("%s is %q, before %q", name, text, was)
				}
			}
			p := o
			p.Undo = true
			m.run(p)
			m.expect(files)
		})
	}
}

// TestCertsOnlyUnset: without it a node whose containerd reads no certs.d would look
// as if it were set up.
func TestCertsOnlyUnset(t *testing.T) {
	for name, text := range map[string]string{
		"version 2":  "version = 2\n",
		"version 3":  "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = ''\n",
		"no version": "# nothing\n",
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"etc/containerd/config.toml": text}
			m := newMachine(t, files)
			_, err := New(Options{Engine: "containerd", CertsOnly: true, Root: m.root})
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("%v, want ErrConfig", err)
			}
			for _, want := range []string{"/etc/containerd/config.toml: config_path is not set", "+  config_path = \"/etc/containerd/certs.d\"", "restart containerd"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), m.root) {
				t.Errorf("the error names a path that the machine itself does not have: %v", err)
			}
			m.expect(files)
		})
	}
	if _, err := New(Options{Engine: "docker", CertsOnly: true}); !errors.Is(err, ErrInvalid) {
		t.Errorf("docker: %v, want ErrInvalid", err)
	}
}

// TestCertsOnlyNobodyReads: without it a node whose containerd takes a list for the name
// of one directory would look as if it were set up, or be told that nothing is set.
func TestCertsOnlyNobodyReads(t *testing.T) {
	const list = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'\n"
	for name, extra := range map[string]string{"unused": "etc/docker/daemon.json", "used": "etc/docker/certs.d/registry.example/hosts.toml"} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"etc/containerd/config.toml": list, extra: "{}"}
			if name == "used" {
				files[extra] = "server = 'https://registry.example'\n"
			}
			m := newMachine(t, files)
			_, err := New(Options{Engine: "containerd", CertsOnly: true, Root: m.root})
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "config_path names several directories") || strings.Contains(err.Error(), "not set") {
				t.Errorf("got %v", err)
			}
			m.expect(files)
		})
	}
}

// TestCertsOnlyUnseen: without it a pod that sees no /etc/docker would hide from
// containerd what its certs.d says of registries.
func TestCertsOnlyUnseen(t *testing.T) {
	const list = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n"
	for name, seen := range map[string]bool{"not seen": false, "seen": true} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"etc/containerd/config.toml": list}
			if seen {
				files["etc/docker/daemon.json"] = "{}"
			}
			m := newMachine(t, files)
			p := m.run(Options{Engine: "containerd", CertsOnly: true})
			if _, there := m.files()["etc/containerd/certs.d/_default/hosts.toml"]; there != seen {
				t.Errorf("_default is there: %t; notes: %q", there, p.Notes)
			}
		})
	}
}

// TestCertsOnlyOtherContainerd: without it the node of a distribution that brings its own
// containerd would look as if it were set up.
func TestCertsOnlyOtherContainerd(t *testing.T) {
	files := map[string]string{"etc/containerd/config.toml": "version = 2\n", "var/lib/rancher/k3s/x": "x"}
	m := newMachine(t, files)
	_, err := New(Options{Engine: "containerd", CertsOnly: true, Root: m.root, Config: m.root + "/etc/containerd/config.toml"})
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "image2ipfs setup k3s") {
		t.Errorf("got %v", err)
	}
	m.expect(files)
}
