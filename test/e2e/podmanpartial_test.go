//go:build e2e && linux

// Podman 5 with its settings for partial pulls: whatever it fetches, the tree is
// that of an ordinary pull.

package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Podman's pull_options.
const (
	wholeLayers = `enable_partial_images = "false"`
	someFiles   = `enable_partial_images = "true"`
	// Named so by podman: it then takes an index without tar-split, by which it
	// cannot tell the tar that an image's config names.
	insecurely = someFiles + `, insecure_allow_unpredictable_image_contents = "true"`
)

// TestPodmanPartial leaves out what podman leaves out of partial pulls: pipes,
// devices, the times of symbolic links and of directories in which it makes or
// removes something after it made them. Directories
// that no entry describes, to which it gives no permissions in partial pulls, are
// in layers that get no index for them.
func TestPodmanPartial(t *testing.T) {
	p := newPlace(t, "podman5", "podman")
	t.Cleanup(func() { unmountBelow(t, p.outer("")) })
	dir := t.TempDir()
	kinds, implying, stargz := filepath.Join(dir, "kinds.tar"), filepath.Join(dir, "implying.tar"), filepath.Join(dir, "stargz")
	some := kindsLayer(t, plainly(allKinds))
	saveLayers(t, kinds, kindsBelow(t), some)
	saveLayers(t, implying, kindsBelow(t), kindsLayer(t, plainly(implyingKinds)))
	stargzOf(t, some).layout(t, stargz)
	reg := modes[0].start(t)
	for _, c := range []struct {
		file      string
		args      []string
		options   string
		partially bool // single files are fetched
		fails     bool
	}{
		{file: kinds, args: lazily, options: someFiles},
		{file: kinds, args: lazily, options: insecurely, partially: true, fails: true},
		{file: kinds, args: inChunks, options: someFiles, partially: true},
		{file: kinds, args: inChunks, options: insecurely, partially: true},
		{file: implying, args: inChunks, options: someFiles, partially: true}, // the layer below it
		{file: stargz, options: insecurely, partially: true},                  // each file has a member
	} {
		t.Run(strings.Join(append([]string{filepath.Base(c.file)}, c.args...), " ")+", "+c.options, func(t *testing.T) {
			lines, err := reg.publish(deadline(t), c.file, false, append([]string{"-r", reg.addr}, c.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			before := len(reg.requests(t))
			some := newPodmanStore(t, p, "some", c.options)
			err = some.pull(t, lines[0])
			ranges, fetched := rangesServed(reg.requests(t)[before:])
			t.Logf("%d answers with ranges, %d bytes, error %v", ranges, fetched, err)
			if (ranges > 0) != c.partially || (err != nil) != c.fails {
				t.Fatalf("%d answers with ranges, %v; docs/lazy.md says otherwise", ranges, err)
			}
			if c.fails || c.file == stargz {
				return
			}
			whole := newPodmanStore(t, p, "whole", wholeLayers)
			if err := whole.pull(t, lines[0]); err != nil {
				t.Fatal(err)
			}
			timeless := slices.Concat([]string{".", "d", "d/soft", "o"}, chain("deep"), chain("implicit"))
			wantSameTree(t, some.mount(t, lines[0]), whole.mount(t, lines[0]), timeless...)
		})
	}
}

// plainly adds of some entries those that podman leaves in partial pulls.
func plainly(kinds func(func(tar.Header, []byte))) func(func(tar.Header, []byte)) {
	return func(add func(tar.Header, []byte)) {
		kinds(func(h tar.Header, data []byte) {
			if h.Name == "./" {
				h.Mode = 0o555 // as podman makes it whatever a layer says, unless it pulls parts
			}
			if h.Typeflag != tar.TypeFifo && h.Typeflag != tar.TypeChar {
				add(h, data)
			}
		})
	}
}

// TestPodmanUpdate pulls an image and then another of which a twentieth of the
// files are others.
func TestPodmanUpdate(t *testing.T) {
	p := newPlace(t, "podman5", "podman")
	t.Cleanup(func() { unmountBelow(t, p.outer("")) })
	reg := modes[0].start(t)
	store := newPodmanStore(t, p, "some", someFiles)
	var size int64
	for build := range 2 {
		archive := filepath.Join(t.TempDir(), "app.tar")
		layer := kindsLayer(t, func(add func(tar.Header, []byte)) {
			add(tar.Header{Name: "app/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
			for i := range 200 {
				data := large(40_000 + i)
				if i%20 == 7 {
					copy(data[100:], fmt.Sprint("build ", build))
				}
				copy(data, fmt.Sprint("file ", i))
				add(tar.Header{Name: fmt.Sprintf("app/%d", i)}, data)
			}
		})
		saveLayers(t, archive, layer)
		lines, err := reg.publish(deadline(t), archive, false, append([]string{"-r", reg.addr}, inChunks...)...)
		if err != nil {
			t.Fatal(err)
		}
		before := len(reg.requests(t))
		if err := store.pull(t, lines[0]); err != nil {
			t.Fatal(err)
		}
		ranges, fetched := rangesServed(reg.requests(t)[before:])
		t.Logf("build %d: %d bytes in %d answers", build, fetched, ranges)
		if build == 1 && fetched > size/5 {
			t.Errorf("an update fetched %d bytes, the image before %d", fetched, size)
		}
		size = fetched
		whole := newPodmanStore(t, p, "whole", wholeLayers)
		if err := whole.pull(t, lines[0]); err != nil {
			t.Fatal(err)
		}
		wantSameTree(t, store.mount(t, lines[0]), whole.mount(t, lines[0]), ".", "app")
	}
}

// rangesServed counts the answers with parts of blobs, and adds up what was sent
// of blobs.
func rangesServed(requests []request) (ranges int, bytes int64) {
	for _, r := range requests {
		if path.Base(path.Dir(r.Path)) == "blobs" {
			bytes += r.Bytes
			if r.Status == 206 {
				ranges++
			}
		}
	}
	return ranges, bytes
}

// podmanStore is podman 5 with a store and settings of its own.
type podmanStore struct {
	place
	podman command
}

// newPodmanStore makes an empty store of this name.
func newPodmanStore(t *testing.T, p place, name, options string) podmanStore {
	t.Helper()
	p.dir = p.inner(name)
	unmountBelow(t, p.outer(""))
	p.clear(t)
	p.write(t, "storage.conf", fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n[storage.options]\npull_options = {%s}\n",
		p.inner("graph"), p.inner("run"), options))
	return podmanStore{p, p.program("env", "CONTAINERS_STORAGE_CONF="+p.inner("storage.conf"), "podman")}
}

func (s podmanStore) pull(t *testing.T, ref string) error {
	t.Helper()
	_, err := s.podman.output(deadline(t), "pull", "--quiet", "--tls-verify=false", ref)
	return err
}

// mount gives an image's files as a container sees them, until the test ends.
func (s podmanStore) mount(t *testing.T, ref string) string {
	t.Helper()
	dir, err := s.podman.output(deadline(t), "image", "mount", ref)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(s.root, dir)
}

// stargzOf is a layer as estargz, the library of stargz-snapshotter, writes it.
func stargzOf(t *testing.T, plain []byte) foreignLayer {
	t.Helper()
	var blob bytes.Buffer
	w := estargz.NewWriter(&blob)
	if err := w.AppendTar(bytes.NewReader(plain)); err != nil {
		t.Fatal(err)
	}
	toc, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return foreignLayer{
		mediaType: ocispec.MediaTypeImageLayerGzip, blob: blob.Bytes(), diffID: digest.Digest(w.DiffID()),
		annotations: map[string]string{estargz.TOCJSONDigestAnnotation: toc.String()},
	}
}
