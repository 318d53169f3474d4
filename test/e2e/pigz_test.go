//go:build e2e && linux

// containerd hands layers of gzip to unpigz where that is installed.

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPigz pulls an image whose layers have an index with unpigz and without, by
// containerd 1.6 and 2: that a layer is the tar which the config names is checked
// by containerd, and that unpigz took part by a program of that name in its place.
func TestPigz(t *testing.T) {
	kinds := filepath.Join(t.TempDir(), "kinds.tar")
	writeKinds(t, kinds, implyingKinds)
	reg := modes[0].start(t)
	lines, err := reg.publish(deadline(t), kinds, false, append([]string{"-r", reg.addr}, lazily...)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"containerd16", "containerd2"} {
		for _, with := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, unpigz %v", name, with), func(t *testing.T) {
				p := newPlace(t, name, "ctr")
				c := startPlainContainerd(t, p, with)
				got, err := c.Pull(deadline(t), lines[0], host)
				if err != nil {
					t.Fatal(err)
				}
				used, err := os.ReadFile(p.outer("used"))
				if (err == nil) != with {
					t.Errorf("unpigz was asked %q times (%v), want that: %v", used, err, with)
				}
				version, err := c.Version(deadline(t))
				t.Logf("%s (%v) pulled %d layers; unpigz was asked for %d", version, err, len(got.DiffIDs), len(used))
			})
		}
	}
}

// startPlainContainerd starts a containerd with overlayfs alone, which has unpigz
// or none.
func startPlainContainerd(t *testing.T, p place, unpigz bool) containerd {
	t.Helper()
	p.write(t, "config.toml", fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
[ttrpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
`, p.inner("root"), p.inner("state"), p.inner("sock"), p.inner("sock.ttrpc"), p.inner("opt")))
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	env := []string{"env", "PATH=" + path, "CONTAINERD_DISABLE_PIGZ=1"}
	if unpigz {
		pigz, err := exec.LookPath("pigz")
		if err != nil {
			missing(t, "pigz", err.Error())
			t.SkipNow()
		}
		p.write(t, "bin/unpigz", fmt.Sprintf("#!/bin/sh\nprintf . >>%s\nexec %s -d \"$@\"\n", p.inner("used"), p.inner("bin/pigz")))
		copyProgram(t, pigz, p.outer("bin/pigz"))
		if err := os.Chmod(p.outer("bin/unpigz"), 0o755); err != nil {
			t.Fatal(err)
		}
		env = []string{"env", "PATH=" + p.inner("bin") + ":" + path}
	}
	startDaemon(t, p.program(append(env, "containerd", "--config", p.inner("config.toml"))...))
	c := containerd{p.program("ctr", "--address", p.inner("sock"))}
	eventually(t, "containerd", func() error {
		if _, err := os.Stat(p.outer("sock")); err != nil { // which ctr would wait for
			return err
		}
		_, err := c.Version(deadline(t))
		return err
	})
	t.Cleanup(func() { unmountBelow(t, p.outer("")) })
	return c
}
