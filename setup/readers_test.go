package setup

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A hosts.toml without a [host.…] has no effect in containerd 1, and would have one
// with the server in it: who pulled from Docker Hub would be sent elsewhere.
func TestHostless(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-ins are shell scripts")
	}
	const old, recent = "containerd github.com/containerd/containerd 1.6.20~ds1 x", "containerd github.com/containerd/containerd/v2 2.1.9 h"
	corp := "# ours\n\nserver = \"https://hub.corp\"\n"
	for name, c := range map[string]struct {
		version, path, text string
		refused, note       string
	}{
		"containerd 1":                        {old, hostsHub, corp, "line 3: server is set there", ""},
		"nerdctl 1":                           {"nerdctl version 1.7.7", hostsHub, corp, "nerdctl 1 overlook", ""},
		"containerd 2":                        {recent, hostsHub, corp, "", ""},
		"nobody knows":                        {"containerd development", hostsHub, corp, "", "that counts from now on"},
		"containerd 1, Docker Hub itself":     {old, hostsHub, "server = \"https://registry-1.docker.io\"\n", "", ""},
		"containerd 1, and Docker Hub's page": {old, hostsHub, "server = \"https://docker.io\"\n", "line 1: server", ""},
		"containerd 1, with a table":          {old, hostsHub, corp + "[host.\"https://hub.corp\"]\n", "", ""},
		"containerd 1, an authority":          {old, hostsHub, "ca = \"/x.pem\"\n", "line 1: ca is set there", ""},
		"containerd 1, all registries":        {old, "etc/containerd/certs.d/_default/hosts.toml", "server = \"https://registry-1.docker.io\"\n", "line 1: server", ""},
		"containerd 1, comments":              {old, hostsHub, "# nothing\n", "", ""},
		"containerd 1, nothing":               {old, hostsHub, "", "", ""},
	} {
		m := newMachine(t, map[string]string{c.path: c.text})
		program := filepath.Join(t.TempDir(), "containerd")
		if err := os.WriteFile(program, []byte("#!/bin/sh\necho '"+c.version+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		o := Options{Engine: "containerd", Root: m.root, Program: []string{program}, Server: "http://127.0.0.1:5000"}
		p, err := New(o)
		if c.refused != "" {
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "write [host.") {
				t.Errorf("%s: %v, want %q", name, err, c.refused)
			}
			o.Undo = true // takes nothing away that counts
			if _, err := New(o); err != nil {
				t.Errorf("%s: undo: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if notes := strings.Join(p.Notes, "\n"); strings.Contains(notes, "counts from now on") != (c.note != "") {
			t.Errorf("%s: notes are %q", name, notes)
		}
		p.check = nil // the stand-in has no configuration to show
		if err := p.Write(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := New(o); err != nil {
			t.Errorf("%s: again: %v", name, err)
		}
	}
	// Certificates in Docker's layout are read in place of a file that is overlooked.
	m := newMachine(t, map[string]string{hostsHub: "# nothing\n", "etc/containerd/certs.d/docker.io/ca.crt": "x"})
	if _, err := New(Options{Engine: "containerd", Root: m.root}); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "ca.crt") {
		t.Errorf("certificates beside it: %v", err)
	}
}
