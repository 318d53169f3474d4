package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
)

// refusedBy publishes from a file and a pipe, and fails unless both are refused
// in these words with the store as it was.
func refusedBy(t *testing.T, what string, data []byte, words ...string) {
	t.Helper()
	s := newStore(t)
	before := listing(t, s.Path())
	for how, publish := range map[string]func() (*Result, error){
		"file": func() (*Result, error) { return publishPath(t, s, writeFile(t, data)) },
		"pipe": func() (*Result, error) { return publishPipe(t, s, data) },
	} {
		r, err := publish()
		if err == nil {
			t.Errorf("%s (%s): published as %s", what, how, r.Root)
			continue
		}
		if !errors.Is(err, archive.ErrFormat) && !errors.Is(err, ErrArchive) && !errors.Is(err, dockerarchive.ErrInvalid) {
			t.Errorf("%s (%s): %v is none of the errors that are promised", what, how, err)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s (%s): %q does not say %q", what, how, err, word)
			}
		}
	}
	if after := listing(t, s.Path()); !slices.Equal(after, before) {
		t.Errorf("%s: the store had %v, has %v", what, before, after)
	}
}

// One bit that changed on the way must not be published: every blob of a
// layout is checked, and the error says which one it is.
func TestFlippedBitIsNamed(t *testing.T) {
	for _, e := range layout() {
		d := claimedDigest(e.name)
		if d == "" {
			continue
		}
		for _, at := range []int{0, len(e.data) / 2, len(e.data) - 1} {
			flipped := bytes.Clone(e.data)
			flipped[at] ^= 0x10
			refusedBy(t, fmt.Sprintf("bit of %s at %d", e.name, at), layout().replace(e.name, flipped).tar(), d.Encoded())
		}
	}
}

// bombLayer is a compressed layer that becomes n zero bytes behind a tar header.
func bombLayer(t *testing.T, wrap func(io.Writer) io.WriteCloser, n int64) []byte {
	t.Helper()
	var data bytes.Buffer
	z := wrap(&data)
	chunk := make([]byte, 1<<20)
	_, err := z.Write(layerTar(1))
	for ; err == nil && n > 0; n -= int64(len(chunk)) {
		_, err = z.Write(chunk)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// A compressed layer in a docker archive is decompressed to learn its diffID:
// that must end.
func TestLayerBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("decompresses GiBs")
	}
	for name, wrap := range map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
	} {
		data := docker20().replace("bb/layer.tar", bombLayer(t, wrap, 1200<<20)).tar()
		_, err := publishPath(t, newStore(t), writeFile(t, data))
		if !errors.Is(err, archive.ErrFormat) || !strings.Contains(err.Error(), "bb/layer.tar") || !strings.Contains(err.Error(), "bomb") {
			t.Errorf("%s: %v; want the entry and what is wrong", name, err)
		}
	}
}

// Manifests and indices above what registries support are refused by name.
func TestManifestTooLarge(t *testing.T) {
	filler := strings.Repeat("x", oci.MaxManifestSize)
	manifest, err := json.Marshal(ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: descriptor(ocispec.MediaTypeImageConfig, configOf()),
		Annotations: map[string]string{"filler": filler},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := oci.BlobPath(digest.FromBytes(manifest))
	one := files{}.add("oci-layout", oci.LayoutFile).add(path, manifest).
		json("index.json", oci.NewIndex([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, manifest)}))
	refusedBy(t, "manifest", one.tar(), digest.FromBytes(manifest).String(), "4194304")

	index := oci.NewIndex(nil)
	index.Annotations = map[string]string{"filler": filler}
	refusedBy(t, "index.json", layout().without("index.json").json("index.json", index).tar(), "index.json", "at")
}

// Small files are held in memory until it is known what they are; a crowd of
// them must not fill it.
func TestTooMuchJSON(t *testing.T) {
	f := layout()
	filler := "{" + strings.Repeat(" ", smallJSON-2) + "}"
	for i := range maxHeld/smallJSON + 1 {
		f = f.add(fmt.Sprintf("%d.json", i), []byte(filler))
	}
	refusedBy(t, "crowd", f.tar(), ".json", "64 MiB together")
}

// Indices inside indices end somewhere.
func TestDeepIndices(t *testing.T) {
	image := layout().without("index.json")
	var top ocispec.Descriptor
	for _, e := range layout() {
		if oci.SniffMediaType(e.data) == ocispec.MediaTypeImageManifest && e.name != "index.json" {
			top = descriptor(ocispec.MediaTypeImageManifest, e.data)
		}
	}
	nested := func(levels int) []byte {
		f, desc := slices.Clone(image), top
		for range levels {
			data, err := json.Marshal(oci.NewIndex([]ocispec.Descriptor{desc}))
			if err != nil {
				t.Fatal(err)
			}
			desc = descriptor(ocispec.MediaTypeImageIndex, data)
			f = f.add(oci.BlobPath(desc.Digest), data)
		}
		return f.json("index.json", oci.NewIndex([]ocispec.Descriptor{desc})).tar()
	}
	if _, err := publishPath(t, newStore(t), writeFile(t, nested(5))); err != nil {
		t.Errorf("five levels, which is only unusual: %v", err)
	}
	refusedBy(t, "twenty levels", nested(20), "levels")
}

// Nobody else on the machine may read or change what is published.
func TestFileModesOfTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := packstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	mustPublish(t, s, docker20().write(t))
	mustPublish(t, s, layout().write(t))
	seen := 0
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if info.Mode()&^0o200 != want&^0o200 { // packs are read-only
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
		return nil
	})
	if err != nil || seen < 5 {
		t.Errorf("%d files seen, %v", seen, err)
	}
}

// What is written to a directory is for everybody to read, as layouts are.
func TestFileModesOfADirectory(t *testing.T) {
	a, err := archive.Open(layout().write(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := ToDirectory(t.Context(), a, dir, Options{}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "index.json"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("index.json: %v, %v", info.Mode(), err)
	}
}
