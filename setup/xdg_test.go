package setup

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A user's engines read their files where the user's XDG_CONFIG_HOME says; podman
// does not, nor does any for one that is no absolute path.
func TestXDGDirectory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the engines are Linux's")
	}
	home, dir := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	for _, variable := range []string{"CONTAINERS_REGISTRIES_CONF", "REGISTRIES_CONFIG_PATH", "NERDCTL_TOML", "DOCKER_CONFIG"} {
		t.Setenv(variable, "")
	}
	if err := os.MkdirAll(filepath.Join(home, ".config"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ engine, xdg, want string }{
		{"docker", dir, dir + "/docker/daemon.json"},
		{"docker", "", home + "/.config/docker/daemon.json"},
		{"docker", "relative", home + "/.config/docker/daemon.json"},
		{"nerdctl", dir, dir + "/containerd/certs.d/docker.io/hosts.toml"},
		{"podman", dir, home + "/.config/containers/registries.conf.d/image2ipfs.conf"},
	} {
		t.Setenv("XDG_CONFIG_HOME", c.xdg)
		plan, err := New(Options{Engine: c.engine, Rootless: true})
		if err != nil || len(plan.Changes) == 0 {
			t.Errorf("%s: %+v, %v", c.engine, plan, err)
			continue
		}
		if got := plan.Changes[0].Path; got != c.want {
			t.Errorf("%s with XDG_CONFIG_HOME=%q: %s, want %s", c.engine, c.xdg, got, c.want)
		}
	}
	named := filepath.Join(dir, "named.conf")
	t.Setenv("REGISTRIES_CONFIG_PATH", named)
	if main, _, _ := podmanPaths(Options{Rootless: true, Home: home}); main != named {
		t.Errorf("podman with REGISTRIES_CONFIG_PATH: %s, want %s", main, named)
	}
	program, err := exec.LookPath("dockerd")
	if err != nil {
		t.Log("dockerd is not here: its own reading is not compared")
		return
	}
	// Without it dockerd does not even tell its flags.
	if err := os.WriteFile(filepath.Join(home, "rootlesskit-docker-proxy"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "--rootless", "--help")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_RUNTIME_DIR="+home, "ROOTLESSKIT_STATE_DIR="+home, "PATH="+os.Getenv("PATH")+":"+home)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(strings.Join(strings.Fields(string(out)), ""), dir+"/docker/daemon.json") {
		t.Errorf("dockerd's own default is not %s/docker/daemon.json: %v\n%s", dir, err, out)
	}
}
