package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// lazyEngine is a containerd with stargz-snapshotter beside overlayfs, as they are
// without further settings.
type lazyEngine struct {
	s                  *lazySite
	dir                string // as the engine sees it
	stargz, containerd *process.Process
}

// on is a program of the engines' Debian on the node.
func (s *lazySite) on(ctx context.Context, argv ...string) *exec.Cmd {
	return s.node.Command(ctx, append([]string{"env", "-u", "TMPDIR", "chroot", s.root}, argv...)...)
}

// containerd starts one that has nothing yet.
func (s *lazySite) containerd() (e *lazyEngine, err error) {
	s.engines++
	e = &lazyEngine{s: s, dir: filepath.Join(s.inner, fmt.Sprint(s.engines))}
	out := filepath.Join(s.root, e.dir)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(e.dir, name) }
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
[ttrpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "overlayfs"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "stargz"
[proxy_plugins.stargz]
  type = "snapshot"
  address = %q
[proxy_plugins.stargz.exports]
  root = %q
  enable_remote_snapshot_annotations = "true"
`, in("root"), in("state"), in("sock"), in("sock.ttrpc"), in("opt"), in("stargz.sock"), in("lazy"))
	hosts := fmt.Sprintf("[[resolver.host.%q.mirrors]]\nhost = %q\ninsecure = true\n", s.publisher.IP+":5000", s.publisher.IP+":5000")
	if err := errors.Join(os.WriteFile(filepath.Join(out, "config.toml"), []byte(config), 0o644), os.WriteFile(filepath.Join(out, "stargz.toml"), []byte(hosts), 0o644)); err != nil {
		return nil, err
	}
	there := func(name string) func(context.Context) error {
		return func(context.Context) error {
			_, err := os.Stat(filepath.Join(out, name))
			return err
		}
	}
	e.stargz, err = process.Start(s.b.ctx, s.on(s.b.ctx, filepath.Join(s.inner, "stargz"), "--all", "--address", in("stargz.sock"), "--root", in("lazy"), "--config", in("stargz.toml")), filepath.Join(out, "stargz.log"), there("stargz.sock"))
	if err != nil {
		return nil, err
	}
	e.containerd, err = process.Start(s.b.ctx, s.on(s.b.ctx, "containerd", "--log-level", "error", "--config", in("config.toml")), filepath.Join(out, "containerd.log"), func(ctx context.Context) error {
		if err := there("sock")(ctx); err != nil {
			return err
		}
		return s.on(ctx, "ctr", "--address", in("sock"), "version").Run()
	})
	if err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

func (e *lazyEngine) ctr(args ...string) *exec.Cmd {
	return e.s.on(e.s.b.ctx, append([]string{"ctr", "--address", filepath.Join(e.dir, "sock")}, args...)...)
}

// log is the end of what both have said.
func (e *lazyEngine) log() string { return e.containerd.Last() + "\n" + e.stargz.Last() }

// stop ends both and takes away what they had.
func (e *lazyEngine) stop() error {
	for _, p := range []*process.Process{e.containerd, e.stargz} {
		if p != nil {
			_ = p.Stop() // how it ends is no part of what is measured
		}
	}
	err := e.s.unmount()
	for range 20 { // shims of containers that have just ended go, too
		if removed := os.RemoveAll(filepath.Join(e.s.root, e.dir)); removed == nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.Join(err, os.RemoveAll(filepath.Join(e.s.root, e.dir)))
}

// podmanUpdate has podman pull a root and then the same with its packages upgraded, and
// gives the bytes that have left the publisher for the second, and its layers' size.
func (s *lazySite) podmanUpdate() (update lazyUpdate, err error) {
	v1, v2, _, err := s.b.debianRoots()
	if err != nil {
		return update, err
	}
	if err := s.publisher.Limit(s.b.ctx, 1000); err != nil {
		return update, err
	}
	dir := filepath.Join(s.inner, "podman")
	out := filepath.Join(s.root, dir)
	storage := fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n[storage.options]\npull_options = {enable_partial_images = \"true\"}\n", filepath.Join(dir, "graph"), filepath.Join(dir, "run"))
	if err := errors.Join(os.MkdirAll(out, 0o755), os.WriteFile(filepath.Join(out, "storage.conf"), []byte(storage), 0o644)); err != nil {
		return update, err
	}
	for _, v := range []struct{ name, root string }{{"root1", v1}, {"root2", v2}} {
		image, err := s.publish(zstdChunks, v.name, v.root)
		if err != nil {
			return update, err
		}
		before, err := s.publisher.Sent()
		if err != nil {
			return update, err
		}
		s.b.say("podman pulls %s", v.name)
		pull := s.on(s.b.ctx, "env", "CONTAINERS_STORAGE_CONF="+filepath.Join(dir, "storage.conf"), "podman", "pull", "--quiet", "--tls-verify=false", s.publisher.IP+":5000/"+image.tagged)
		if out, err := pull.CombinedOutput(); err != nil {
			return update, fmt.Errorf("%w: %s", err, last(string(out), 500))
		}
		after, err := s.publisher.Sent()
		if err != nil {
			return update, err
		}
		update.size, update.bytes = image.size, after-before
	}
	return update, s.unmount()
}
