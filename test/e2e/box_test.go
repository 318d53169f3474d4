//go:build e2e

// A machine for one engine, inside of the simulated one: it has processes, /etc,
// /run and /var/lib of its own, so that the engine, setup and doctor find all where
// they look for it without a flag, and what doctor advises can be done word by word.

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// box is such a machine. Its network is the simulated machine's.
type box struct {
	place
	own   command // of the engine's client, see [commandFor]
	pid   string  // of its first process
	store string  // of the local server, as seen there
}

// clientOf is the program that speaks to a kind of engine.
var clientOf = map[string]string{"docker": "docker", "containerd": "ctr", "podman": "podman"}

// ownDirs are what a box has of its own below /etc, empty at first: a distribution's
// files are part of the tests, and not those of the machine that they run on.
var ownDirs = []string{"docker", "containerd", "containers", "nerdctl", "rancher", "systemd/system", "default", "conf.d"}

// boot is the first process: it mounts, says who it is and reaps orphans. Its
// arguments are the root, the directory of the box as seen from outside, that in the
// box, and the store.
const boot = `read -r pid _ </proc/self/stat
mount -t tmpfs -o mode=755 tmpfs "$1/run" && mount -t tmpfs -o mode=755 tmpfs "$1/var/lib" &&
mount --bind "$2/etc" "$1/etc" && mount --bind "$2/opt" "$1/opt" && mount --bind "$4" "$2/store" &&
mount -t proc proc "$1/proc" && echo "$pid" >"$2/pid.new" && mv "$2/pid.new" "$2/pid" || exit 1
trap 'exit 0' TERM
while :; do sleep 1000 & wait $!; done`

// systemctl of a box does with units what systemd does: reload, start, stop and
// restart, each until it is done. A unit is an ExecStart and a socket.
const systemctl = `#!/bin/sh
[ "$1" = daemon-reload ] && exit 0
unit=/etc/systemd/system/${2%.service}.service pid=/run/box-$2.pid socket=
line=$(sed -n 's/^ExecStart=//p' "$unit" | tail -1)
socket=$(sed -n 's/^#socket=//p' "$unit")
stop() {
  [ -e "$pid" ] || return 0
  kill "$(cat "$pid")" 2>/dev/null && kill -CONT "$(cat "$pid")"
  n=0
  while [ -d "/proc/$(cat "$pid")" ] && ! grep -q '^State:.Z' "/proc/$(cat "$pid")/status"; do
    n=$((n + 1)); [ $n -lt 400 ] || kill -9 "$(cat "$pid")"; sleep 0.05
  done
  rm -f "$pid" "$socket"
}
start() {
  setsid $line >>"/run/box-$2.log" 2>&1 </dev/null &
  echo $! >"$pid"
  while [ ! -S "$socket" ]; do [ -d "/proc/$(cat "$pid")" ] || { tail -5 "/run/box-$2.log" >&2; exit 1; }; sleep 0.05; done
}
case $1 in
  reload) kill -HUP "$(cat "$pid")" ;;
  start) [ -e "$pid" ] && [ -d "/proc/$(cat "$pid")" ] || start "$@" ;;
  stop) stop ;;
  restart) stop && start "$@" ;;
  *) echo "systemctl: $*" >&2; exit 1 ;;
esac
`

// newBox starts one beside an engine that hack/engines.sh runs.
func newBox(t *testing.T, kind, engine string, l *local) *box {
	t.Helper()
	c := commandFor(engine)
	if c == nil {
		missing(t, kind+" "+engine, "not there (hack/engines.sh up starts it)")
		t.SkipNow()
	}
	b := &box{place: newPlace(t, engine, clientOf[kind]), own: c}
	b.store = b.inner("store")
	root := filepath.Join("/", b.root)
	if _, err := (command{"cp", "-a", filepath.Join(root, "etc")}).output(deadline(t), b.outer("etc")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range ownDirs {
		dir = b.outer("etc/" + dir)
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"opt", "store", "home"} {
		if err := os.Mkdir(b.outer(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.tool(t, "sudo", "#!/bin/sh\nexec \"$@\"\n")
	b.tool(t, "systemctl", systemctl)
	b.tool(t, "image2ipfs", "#!/bin/sh\nexec "+b.inner("binary")+" \"$@\"\n")
	if _, err := (command{"cp", "--reflink=auto", commandFor("image2ipfs")[0]}).output(deadline(t), b.outer("binary")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.store, 0o700); err != nil {
		t.Fatal(err)
	}
	first := startDaemon(t, command{"unshare", "--mount", "--pid", "--fork", "--propagation", "private", "sh", "-c", boot, "box", root, b.outer(""), b.inner(""), l.store})
	eventually(t, "a box", func() error {
		pid, err := os.ReadFile(b.outer("pid"))
		b.pid = strings.TrimSpace(string(pid))
		return err
	})
	t.Cleanup(func() { // before unshare, which would wait for it
		if pid, err := strconv.Atoi(b.pid); err == nil {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill() // the kernel ends all that is in it
			}
		}
		_ = first.Stop()
	})
	return b
}

// tool makes a program of the box.
func (b *box) tool(t *testing.T, name, text string) {
	t.Helper()
	b.write(t, "bin/"+name, text)
	if err := os.Chmod(b.outer("bin/"+name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// run is a program in the box.
func (b *box) run(args ...string) command {
	c := command{"nsenter", "--target", b.pid, "--mount", "--pid", "--", "env", "HOME=" + b.inner("home"), "IMAGE2IPFS_PATH=" + b.store,
		"SSL_CERT_FILE=" + b.inner("ca.pem"), "PATH=" + b.inner("bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return append(append(c, b.prefix...), args...)
}

// does runs a command line there, as a user does who was told to.
func (b *box) does(t *testing.T, line string) error {
	t.Helper()
	_, err := b.run("sh", "-c", line).output(deadline(t))
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

// must is does, where it has to succeed.
func (b *box) must(t *testing.T, line string) {
	t.Helper()
	if err := b.does(t, line); err != nil {
		t.Fatal(err)
	}
}

// unit writes the unit of a daemon, which it does not start.
func (b *box) unit(t *testing.T, name, socket string, argv ...string) {
	t.Helper()
	b.write(t, "etc/systemd/system/"+name+".service", "[Service]\nExecStart="+strings.Join(argv, " ")+"\n#socket="+socket+"\n")
}

// dockerd is the unit of a dockerd with further flags.
func (b *box) dockerd(t *testing.T, classic bool, flags ...string) {
	t.Helper()
	argv := []string{"dockerd", "--data-root", b.inner("data"), "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"}
	if !classic {
		argv = append(argv, "--feature", "containerd-snapshotter=true")
	}
	b.unit(t, "docker", "/run/docker.sock", append(argv, flags...)...)
}

// containerd is the unit of a containerd with further flags.
func (b *box) containerd(t *testing.T, flags ...string) {
	t.Helper()
	b.unit(t, "containerd", "/run/containerd/containerd.sock", append([]string{"containerd", "--root", b.inner("root")}, flags...)...)
}

// podmanArgs are podman's with its own places.
func (b *box) podmanArgs() []string { return b.own[slices.Index(b.own, "podman"):] }

// socket is one of the box, as seen from outside.
func (b *box) socket(path string) string { return filepath.Join("/proc", b.pid, "root", b.root, path) }
