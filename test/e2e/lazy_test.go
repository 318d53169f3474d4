//go:build e2e && linux

// Lazy pulls by the real stargz-snapshotter: a container starts while nothing but
// manifest and config is there, and sees what it would see otherwise.

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// impliedDirs are the directories of implyingKinds that no entry describes, and the
// root, which has the time of the pull where a layer is unpacked by containerd.
var impliedDirs = append(chain("implicit"), ".")

// chain is a directory and those that kinds of entries have below it.
func chain(top string) []string {
	dirs := []string{top}
	for i := range 40 {
		dirs = append(dirs, top+strings.Repeat("/long", i+1))
	}
	return dirs
}

// lazyContainerd is a containerd 2 with stargz-snapshotter beside overlayfs.
type lazyContainerd struct{ place }

// on speaks to it of one of its snapshotters.
func (c lazyContainerd) on(snapshotter string) containerd {
	return containerd{c.program("env", "CONTAINERD_SNAPSHOTTER="+snapshotter, "ctr", "--address", c.inner("sock"))}
}

func TestLazySnapshotter(t *testing.T) {
	c := startLazyContainerd(t, "")
	kinds := filepath.Join(t.TempDir(), "kinds.tar")
	reg := modes[0].start(t)
	for _, form := range [][]string{lazily, inChunks} {
		if slices.Equal(form, inChunks) { // each directory needs an entry then
			writeKinds(t, kinds, allKinds)
		} else {
			writeKinds(t, kinds, implyingKinds)
		}
		files := []string{kinds, archivePath(t, "small.docker20.tar")}
		if thorough() {
			files = append(files, archivePath(t, "big.docker20.tar"))
		} else {
			results.leaveOut("big.docker20.tar by stargz-snapshotter", "8,000 files are read one by one; make test-all does")
		}
		for _, file := range files {
			t.Run(strings.Join(form, " ")+" "+filepath.Base(file), func(t *testing.T) {
				lines, err := reg.publish(deadline(t), file, false, append([]string{"-r", reg.addr}, form...)...)
				if err != nil {
					t.Fatal(err)
				}
				c.testLazily(t, reg, lines[0], file != kinds)
			})
		}
	}
}

// testLazily pulls an image lazily and whole, and compares. If it runs, what its
// first program reads is counted.
func (c lazyContainerd) testLazily(t *testing.T, reg *registry, name string, runs bool) {
	t.Helper()
	ref, layers, size := firstManifest(t, reg, tagged(name))
	if _, err := c.on("stargz").Pull(deadline(t), ref, host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.on("stargz").Remove(deadline(t), ref); err != nil {
			t.Error(err)
		}
	})
	contents, err := c.on("stargz").ctr.output(deadline(t), "content", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if strings.Contains(contents, l) {
			t.Errorf("layer %s was fetched whole", l)
		}
	}
	if runs {
		text, err := c.on("stargz").Cat(deadline(t), ref, "/etc/message")
		if err != nil || text != message(name) {
			t.Errorf("/etc/message: expected %q, found %q (%v)", message(name), text, err)
		}
	}
	fetched := bytesServed(t, reg, layers)
	if fetched == 0 || size > 10<<20 && fetched > size/4 {
		t.Errorf("%d of the layers' %d bytes were fetched before the trees were compared", fetched, size)
	}
	if _, err := c.on("overlayfs").Pull(deadline(t), ref, host); err != nil {
		t.Fatal(err)
	}
	got, want := c.mount(t, ref, "stargz"), c.mount(t, ref, "overlayfs")
	n := wantSameTree(t, got, want, impliedDirs...)
	t.Logf("%d of %d bytes fetched lazily; %d names are the same", fetched, size, n)
}

// mount gives an image's files as a container sees them, until the test ends.
func (c lazyContainerd) mount(t *testing.T, ref, snapshotter string) string {
	t.Helper()
	name := "mnt-" + snapshotter
	if err := os.MkdirAll(c.outer(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := c.on(snapshotter).ctr.output(deadline(t), "images", "mount", ref, c.inner(name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.on(snapshotter).ctr.output(deadline(t), "images", "unmount", "--rm", c.inner(name)); err != nil {
			t.Error(err)
		}
	})
	return c.outer(name)
}

// firstManifest gives a reference to an image, its layers and their bytes in all.
// Of a pair of manifests it names the first, which is stargz-snapshotter's:
// containerd's transfer service before 2.4 takes all manifests of a platform, and
// unpacks the layers of any of those that share a config.
func firstManifest(t *testing.T, reg *registry, ref string) (one string, layers []string, size int64) {
	t.Helper()
	one = ref
	repo, tag := repositoryOf(reg, ref)
	raw, _ := reg.manifest(t, repo, tag)
	if manifests := manifestsOf(t, reg, ref); len(manifests) > 0 {
		one = reg.addr + "/" + repo + "@" + manifests[0]
		raw, _ = reg.manifest(t, repo, manifests[0])
	}
	layers, err := layersOf(raw)
	if err != nil || len(layers) == 0 {
		t.Fatalf("%s: no layers (%v)", ref, err)
	}
	for _, l := range layers {
		resp, err := http.Head("http://" + reg.addr + "/v2/" + repo + "/blobs/" + l)
		if err != nil {
			t.Fatal(err)
		}
		size += resp.ContentLength
		resp.Body.Close()
	}
	return one, layers, size
}

// repositoryOf takes a reference apart.
func repositoryOf(reg *registry, ref string) (repo, tag string) {
	repo, tag, _ = strings.Cut(strings.TrimPrefix(ref, reg.addr+"/"), ":")
	return repo, tag
}

// manifestsOf gives the digests in the index that a reference leads to; none where
// it leads to a manifest.
func manifestsOf(t *testing.T, reg *registry, ref string) (digests []string) {
	t.Helper()
	repo, tag := repositoryOf(reg, ref)
	raw, _ := reg.manifest(t, repo, tag)
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for _, m := range doc.Manifests {
		digests = append(digests, m.Digest)
	}
	return digests
}

// bytesServed adds up what the server's log says it has sent of these blobs.
func bytesServed(t *testing.T, reg *registry, blobs []string) (n int64) {
	t.Helper()
	for _, a := range reg.requests(t) {
		if a.Method == http.MethodGet && slices.Contains(blobs, path.Base(a.Path)) {
			n += a.Bytes
		}
	}
	return n
}

// startLazyContainerd starts both, in the place where the newer engines are, or behind
// words that run them elsewhere; the snapshotter has a configuration.
func startLazyContainerd(t *testing.T, config string, on ...string) lazyContainerd {
	t.Helper()
	binary := commandFor("stargz")
	if binary == nil {
		t.Fatal("E2E_STARGZ is not set; run the tests with hack/e2e.sh")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing(t, "lazy pulls", err.Error())
		t.SkipNow()
	}
	p := newPlace(t, "containerd2", "ctr")
	p.prefix = append(slices.Clone(on), p.prefix...)
	p.write(t, "stargz.toml", config)
	t.Cleanup(func() { unmountBelow(t, p.outer("")) })
	copyProgram(t, binary[0], p.outer("stargz"))
	startDaemon(t, p.program(p.inner("stargz"), "--address", p.inner("stargz.sock"), "--root", p.inner("lazy"), "--config", p.inner("stargz.toml")))
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
`, p.inner("root"), p.inner("state"), p.inner("sock"), p.inner("sock.ttrpc"), p.inner("opt"), p.inner("stargz.sock"), p.inner("lazy")))
	listens := func(socket string) func() error {
		return func() error {
			_, err := os.Stat(p.outer(socket))
			return err
		}
	}
	eventually(t, "stargz-snapshotter", listens("stargz.sock"))
	startDaemon(t, p.program("containerd", "--config", p.inner("config.toml")))
	eventually(t, "containerd", listens("sock"))
	c := lazyContainerd{p}
	eventually(t, "containerd", func() error {
		_, err := c.on("stargz").Version(deadline(t))
		return err
	})
	return c
}

// unmountBelow ends what daemons that were stopped have left mounted.
func unmountBelow(t *testing.T, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- { // those mounted last first
		if f := strings.Fields(lines[i]); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			if err := unix.Unmount(f[1], unix.MNT_DETACH); err != nil {
				t.Errorf("%s: %v", f[1], err)
			}
		}
	}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
