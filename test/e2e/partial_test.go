//go:build e2e

// Layers of which podman fetches single files: through the library that podman
// has for that, since the podman of Debian 12 does not do it.

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// TestPartialPull pulls the layers of an image file by file, among them one with
// all kinds of entries, and compares the tars that the store makes of them.
func TestPartialPull(t *testing.T) {
	t.Parallel()
	partial := commandFor("partial")
	if partial == nil {
		t.Fatal("E2E_PARTIAL is not set; run the tests with hack/e2e.sh")
	}
	if os.Geteuid() != 0 {
		missing(t, "partial pulls", "only root mounts overlays")
		return
	}
	all := filepath.Join(t.TempDir(), "all.tar")
	writeKinds(t, all, allKinds)
	files := []string{all}
	if thorough() {
		files = append(files, archivePath(t, "big.docker20.tar"))
	}
	for _, file := range files {
		dir := filepath.Join(t.TempDir(), "layout")
		p := newProgram(t)
		if _, err := p.publish(deadline(t), file, false, "-n", "-o", dir, "--compression", "zstd:chunked"); err != nil {
			t.Fatal(err)
		}
		layers := secondManifest(t, dir).Layers
		for i, l := range layers {
			if l.Annotations == nil {
				t.Fatalf("layer %d of %s has no index", i, file)
			}
			pullPartially(t, partial, dir, l)
		}
		t.Logf("%s: %d layers", filepath.Base(file), len(layers))
	}
}

func pullPartially(t *testing.T, partial command, dir string, l ocispec.Descriptor) {
	t.Helper()
	blob := filepath.Join(dir, oci.BlobPath(l.Digest))
	plain := filepath.Join(t.TempDir(), "layer.tar")
	if err := decompress(blob, plain); err != nil {
		t.Fatal(err)
	}
	annotations, err := json.Marshal(l.Annotations)
	if err != nil {
		t.Fatal(err)
	}
	out, err := partial.output(deadline(t), t.TempDir(), blob, plain, string(annotations))
	if err != nil {
		t.Errorf("layer %s of %d bytes: %v", l.Digest, l.Size, err)
	}
	t.Logf("layer of %d bytes: %s", l.Size, out)
}

// decompress writes what a layer of gzip or zstd holds.
func decompress(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	plain, err := compression.DecompressStream(in)
	if err != nil {
		return err
	}
	defer plain.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, plain)
	return errors.Join(err, out.Close())
}

// secondManifest is that of podman, of the only image of a layout.
func secondManifest(t *testing.T, dir string) (m ocispec.Manifest) {
	t.Helper()
	read := func(path string, v any) {
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err == nil {
			err = json.Unmarshal(data, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var top, index ocispec.Index
	read(ocispec.ImageIndexFile, &top)
	read(oci.BlobPath(top.Manifests[0].Digest), &index)
	if len(index.Manifests) != 2 {
		t.Fatalf("%d manifests, want a pair", len(index.Manifests))
	}
	read(oci.BlobPath(index.Manifests[1].Digest), &m)
	return m
}

// writeKinds writes a docker archive of two layers: one of which the second
// removes files, and that of these entries.
func writeKinds(t *testing.T, path string, kinds func(add func(tar.Header, []byte))) {
	t.Helper()
	saveLayers(t, path, kindsBelow(t), kindsLayer(t, kinds))
}

// kindsBelow is a layer of which allKinds removes files.
func kindsBelow(t *testing.T) []byte {
	t.Helper()
	return kindsLayer(t, func(add func(tar.Header, []byte)) {
		add(tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o555}, nil) // podman gives a root that it unpacks whole this mode
		for _, dir := range []string{"d", "o", "o/below", "gone"} {
			add(tar.Header{Name: "./" + dir + "/", Typeflag: tar.TypeDir, Mode: 0o750}, nil)
			add(tar.Header{Name: "./" + dir + "/gone"}, []byte("gone"))
			add(tar.Header{Name: "./" + dir + "/stays"}, []byte("stays"))
		}
	})
}

// kindsLayer is the tar of these entries.
func kindsLayer(t *testing.T, write func(add func(tar.Header, []byte))) []byte {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	write(func(h tar.Header, data []byte) {
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		h.ModTime, h.Size, h.Format = time.Unix(1_700_000_000, 123_000_000), int64(len(data)), tar.FormatPAX
		_, err := w.Write(data[:0])
		err = errors.Join(err, w.WriteHeader(&h))
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return layer.Bytes()
}

// allKinds adds all kinds of entries, an entry for each directory among them.
func allKinds(add func(tar.Header, []byte)) {
	add(tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: "./d/", Typeflag: tar.TypeDir, Mode: 0o1777, Uid: 5, Gid: 6}, nil)
	add(tar.Header{Name: "./d/empty"}, nil)
	add(tar.Header{Name: "./d/small", AccessTime: time.Unix(1_600_000_000, 0), ChangeTime: time.Unix(1_600_000_001, 0)}, []byte("small"))
	add(tar.Header{Name: "./d/suid", Mode: 0o4755}, bytes.Repeat([]byte("suid"), 10_000))
	add(tar.Header{Name: "./d/large"}, large(3<<20+17))
	add(tar.Header{Name: "./d/zeros"}, make([]byte, 2<<20))
	add(tar.Header{Name: "./d/code.pyc"}, large(100_000)) // cut behind what it begins with
	add(tar.Header{Name: "./d/little.pyc"}, large(17))
	add(tar.Header{Name: "./d/hard", Typeflag: tar.TypeLink, Linkname: "./d/large"}, nil)
	add(tar.Header{Name: "./d/soft", Typeflag: tar.TypeSymlink, Linkname: "../é", Mode: 0o777}, nil)
	add(tar.Header{Name: "./d/pipe", Typeflag: tar.TypeFifo}, nil)
	add(tar.Header{Name: "./d/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, nil)
	add(tar.Header{Name: "./d/ünïcode\t\"<&"}, []byte("quoted"))
	add(tar.Header{Name: "./d/cap", PAXRecords: map[string]string{"SCHILY.xattr.user.a": "\x01\xff"}}, []byte("x"))
	add(tar.Header{Name: "./d/.wh.gone"}, nil)
	add(tar.Header{Name: "./.wh.gone"}, nil)
	add(tar.Header{Name: "./o/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: "./o/.wh..wh..opq"}, nil)
	deep := "./deep/"
	for range 40 {
		add(tar.Header{Name: deep, Typeflag: tar.TypeDir, Mode: 0o751}, nil)
		deep += "long/"
	}
	add(tar.Header{Name: deep, Typeflag: tar.TypeDir, Mode: 0o751}, nil)
	add(tar.Header{Name: deep + "file"}, []byte("deep"))
}

// implyingKinds adds all kinds of entries, and one below directories that none
// describes.
func implyingKinds(add func(tar.Header, []byte)) {
	allKinds(add)
	add(tar.Header{Name: "./implicit/" + strings.Repeat("long/", 40) + "file"}, []byte("deep"))
}

// saveLayers writes a docker archive of an image of these layers.
func saveLayers(t *testing.T, path string, layers ...[]byte) {
	t.Helper()
	files, diffIDs, names := map[string][]byte{}, []digest.Digest{}, []string{}
	for i, l := range layers {
		name := fmt.Sprintf("%d/layer.tar", i)
		files[name], names, diffIDs = l, append(names, name), append(diffIDs, digest.FromBytes(l))
	}
	for name, v := range map[string]any{
		"config.json": ocispec.Image{
			Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
			RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: diffIDs},
		},
		"manifest.json": []any{map[string]any{"Config": "config.json", "RepoTags": []string{"kinds:1"}, "Layers": names}},
	} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	var saved bytes.Buffer
	outer := tar.NewWriter(&saved)
	for name, data := range files {
		err := outer.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))})
		if _, e := outer.Write(data); err != nil || e != nil {
			t.Fatal(errors.Join(err, e))
		}
	}
	if err := errors.Join(outer.Close(), os.WriteFile(path, saved.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// large gives n bytes that are the same nowhere.
func large(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%x\n", digest.FromString(fmt.Sprint(i)))
	}
	return b.Bytes()[:n]
}
