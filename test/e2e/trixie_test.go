//go:build e2e && linux

// Engines of Debian 13, which are between the older and the newer ones of the other
// tests: dockerd 26 and podman 5.4.

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// furnish is the first process of a root directory with its own processes, /run
// and /tmp; its arguments are the root and a file to say who it is.
const furnish = `read -r pid _ </proc/self/stat
mount -t tmpfs -o mode=755 tmpfs "$1/run" && mount -t tmpfs -o mode=1777 tmpfs "$1/tmp" && mount -t sysfs sysfs "$1/sys" &&
mount --rbind /sys/fs/cgroup "$1/sys/fs/cgroup" && mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" &&
echo "$pid" >"$2.new" && mv "$2.new" "$2" || exit 1
trap 'exit 0' TERM
while :; do sleep 1000 & wait $!; done`

// furnished is such a root.
type furnished struct {
	root string
	pid  string
}

func furnishRoot(t *testing.T, root string) furnished {
	t.Helper()
	told := filepath.Join(t.TempDir(), "pid")
	first := startDaemon(t, command{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", furnish, "furnish", root, told})
	f := furnished{root: root}
	eventually(t, "the root "+root, func() error {
		pid, err := os.ReadFile(told)
		f.pid = strings.TrimSpace(string(pid))
		return err
	})
	t.Cleanup(first.Kill) // and the kernel ends all that is in it
	return f
}

// run is a program in it.
func (f furnished) run(args ...string) command {
	return append(command{"nsenter", "--target", f.pid, "--mount", "--pid", "--", "env", "-u", "TMPDIR", "HOME=/tmp", "chroot", f.root}, args...)
}

// write makes a file below its /tmp.
func (f furnished) write(t *testing.T, name, text string) {
	t.Helper()
	if err := f.run("sh", "-c", `mkdir -p "$(dirname "$0")" && cat >"$0"`, name).pipe(deadline(t), strings.NewReader(text), nil); err != nil {
		t.Fatal(err)
	}
}

// forms are those in which a layer can have an index.
var forms = [][]string{lazily, inChunks}

// TestDockerd26 pulls and runs images of both forms, with dockerd's classic store
// and with containerd's.
func TestDockerd26(t *testing.T) {
	root := extra(t, "trixie")[0]
	reg := modes[0].start(t)
	for _, store := range []string{"classic", "containerd"} {
		t.Run(store, func(t *testing.T) {
			f := furnishRoot(t, root)
			f.write(t, "/tmp/daemon.json", fmt.Sprintf(`{"features":{"containerd-snapshotter":%v}}`, store == "containerd"))
			startDaemon(t, f.run("dockerd", "--config-file", "/tmp/daemon.json", "--data-root", "/tmp/data", "--exec-root", "/run/docker",
				"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"))
			e := dockerd{f.run("docker")}
			eventually(t, "dockerd", func() error {
				_, err := e.Version(deadline(t))
				return err
			})
			wantVersion(t, e, "dockerd 26.")
			for _, form := range forms {
				wantPulledAndRun(t, reg, e, form)
			}
		})
	}
}

// TestPodman54 does the same with partial pulls off and on.
func TestPodman54(t *testing.T) {
	root := extra(t, "trixie")[0]
	reg := modes[0].start(t)
	for _, options := range []string{wholeLayers, someFiles} {
		t.Run(options, func(t *testing.T) {
			f := furnishRoot(t, root)
			f.write(t, "/tmp/containers.conf", "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n")
			f.write(t, "/tmp/storage.conf", fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = \"/tmp/graph\"\nrunroot = \"/run/graph\"\n[storage.options]\npull_options = {%s}\n", options))
			e := podman{f.run("env", "CONTAINERS_CONF=/tmp/containers.conf", "CONTAINERS_STORAGE_CONF=/tmp/storage.conf", "podman")}
			wantVersion(t, e, "podman 5.4")
			for _, form := range forms {
				before := len(reg.requests(t))
				wantPulledAndRun(t, reg, e, form)
				ranges, _ := rangesServed(reg.requests(t)[before:])
				if partially := options == someFiles && slices.Equal(form, inChunks); (ranges > 0) != partially {
					t.Errorf("%v: %d answers with ranges; file by file: %v", form, ranges, partially)
				}
			}
		})
	}
}

func wantVersion(t *testing.T, e engine, prefix string) {
	t.Helper()
	version, err := e.Version(deadline(t))
	if err != nil || !strings.HasPrefix(version, prefix) {
		t.Fatalf("version %q, want %s…: %v", version, prefix, err)
	}
	t.Log(version)
}

// wantPulledAndRun publishes an image in a form, pulls it and runs its program.
func wantPulledAndRun(t *testing.T, reg *registry, e engine, form []string) {
	t.Helper()
	lines, err := reg.publish(deadline(t), archivePath(t, "small.docker20.tar"), false, append([]string{"-r", reg.addr}, form...)...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Pull(deadline(t), lines[0], host)
	if err != nil {
		t.Errorf("%v: %v", form, err)
		return
	}
	text, err := e.Cat(deadline(t), lines[0], "/etc/message")
	if err != nil || text != message(lines[0]) {
		t.Errorf("%v: /etc/message is %q (%v), want %q", form, text, err, message(lines[0]))
	}
	t.Logf("%v: pulled %d layers, ran", form, len(got.DiffIDs))
	if err := e.Remove(deadline(t), lines[0]); err != nil {
		t.Error(err)
	}
}
