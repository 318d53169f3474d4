package publish

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/oci"
)

// checkFuzzed publishes an archive to a directory: what is refused leaves
// nothing, what is not is a layout that is published again under the same CID.
func checkFuzzed(t *testing.T, data []byte, o Options) {
	a, err := archive.Open(writeFile(t, data))
	if err != nil {
		return
	}
	defer a.Close()
	dir := filepath.Join(t.TempDir(), "out")
	r, err := ToDirectory(context.Background(), a, dir, o)
	if err != nil {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left over: %v", dir, err)
		}
		for _, known := range []error{archive.ErrFormat, dockerarchive.ErrInvalid, dockerarchive.ErrMissing, oci.ErrCorrupt, oci.ErrNotFound} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Errorf("%v is none of the promised errors", err)
		return
	}
	again, err := archive.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	second, err := ToDirectory(context.Background(), again, filepath.Join(t.TempDir(), "again"), Options{})
	if err != nil || !second.Root.Equals(r.Root) {
		t.Errorf("published again: %v, %v; want %s", second, err, r.Root)
	}
}

// FuzzArchive publishes any bytes.
func FuzzArchive(f *testing.F) {
	var wrapped bytes.Buffer
	z := gzip.NewWriter(&wrapped)
	_, _ = z.Write(docker20().tar())
	_ = z.Close()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{docker20().tar(), docker28().tar(), layout().tar(), wrapped.Bytes(), enc.EncodeAll(layout().tar(), nil), nil} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, recompress bool) {
		checkFuzzed(t, data, Options{Recompress: recompress})
	})
}

// FuzzLayout publishes any metadata in a layout whose digests are right, so
// that more than hashes is tried.
func FuzzLayout(f *testing.F) {
	for _, e := range layout() {
		if oci.SniffMediaType(e.data) == ocispec.MediaTypeImageManifest {
			f.Add(e.data, configOf(layerTar(1)), "app:1", false)
		}
	}
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`), []byte(`{}`), "", true)
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`), []byte(`null`), "a@sha256:x", true)
	f.Fuzz(func(t *testing.T, manifest, config []byte, name string, recompress bool) {
		desc := descriptor(oci.SniffMediaType(manifest), manifest)
		one := layerTar(1)
		files := files{}.add("oci-layout", oci.LayoutFile).add(oci.BlobPath(desc.Digest), manifest)
		for _, data := range [][]byte{config, one} {
			if path := oci.BlobPath(descriptor("", data).Digest); path != files[len(files)-1].name && !bytes.Equal(data, manifest) {
				files = files.add(path, data)
			}
		}
		checkFuzzed(t, files.json("index.json", oci.NewIndex([]ocispec.Descriptor{oci.Named(desc, name)})).tar(), Options{Recompress: recompress})
	})
}

// FuzzDocker publishes any metadata in a docker archive.
func FuzzDocker(f *testing.F) {
	for _, all := range []files{docker20(), docker28()} {
		for _, e := range all {
			if e.name == "manifest.json" {
				f.Add(e.data, configOf(layerTar(1), layerTar(2), layerTar(1)), "../aa/layer.tar")
			}
		}
	}
	f.Fuzz(func(t *testing.T, manifest, config []byte, link string) {
		fuzzed := docker20().replace("manifest.json", manifest).replace("cfg.json", config).without("cc/layer.tar")
		if link != "" && len(link) < 100 && !strings.ContainsRune(link, 0) {
			fuzzed = fuzzed.append(entry{name: "cc/layer.tar", link: link})
		}
		checkFuzzed(t, fuzzed.tar(), Options{})
	})
}
