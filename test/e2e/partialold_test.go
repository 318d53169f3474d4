//go:build e2e && linux

// Versions of containers/storage before the one that the tests use otherwise.

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// TestPartialPullOfOld pulls layers of both forms with partial pulls on, by the
// module of podman 4.4, 5.0 and 5.5: file by file what is zstd:chunked, and with
// an index inside gzip at least as whole layers.
func TestPartialPullOfOld(t *testing.T) {
	kinds := filepath.Join(t.TempDir(), "kinds.tar")
	writeKinds(t, kinds, allKinds)
	for _, form := range [][]string{lazily, inChunks} {
		dir := filepath.Join(t.TempDir(), "layout")
		p := newProgram(t)
		if _, err := p.publish(deadline(t), kinds, false, append([]string{"-n", "-o", dir}, form...)...); err != nil {
			t.Fatal(err)
		}
		var layers []ocispec.Descriptor
		if slices.Equal(form, inChunks) {
			layers = secondManifest(t, dir).Layers
		} else {
			layers = onlyManifest(t, dir).Layers
		}
		for _, version := range []string{"145", "153", "159"} {
			t.Run(version+" "+strings.Join(form, " "), func(t *testing.T) {
				old := extra(t, "partial"+version)
				for _, l := range layers {
					if l.Annotations == nil {
						t.Fatalf("layer %s has no index", l.Digest)
					}
					said := pullByOld(t, old, dir, l)
					t.Logf("layer of %d bytes: %s", l.Size, said)
					if slices.Equal(form, inChunks) && !strings.Contains(said, " ranges, ") {
						t.Errorf("layer %s was not pulled file by file: %s", l.Digest, said)
					}
				}
			})
		}
	}
}

func pullByOld(t *testing.T, old command, dir string, l ocispec.Descriptor) string {
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
	said, err := old.output(deadline(t), t.TempDir(), blob, plain, string(annotations))
	if err != nil {
		t.Errorf("layer %s of %d bytes: %v", l.Digest, l.Size, err)
	}
	return said
}

// onlyManifest is that of the only image of a layout.
func onlyManifest(t *testing.T, dir string) (m ocispec.Manifest) {
	t.Helper()
	var top ocispec.Index
	for _, step := range []struct {
		path func() string
		into any
	}{
		{func() string { return ocispec.ImageIndexFile }, &top},
		{func() string { return oci.BlobPath(top.Manifests[0].Digest) }, &m},
	} {
		data, err := os.ReadFile(filepath.Join(dir, step.path()))
		if err == nil {
			err = json.Unmarshal(data, step.into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}
