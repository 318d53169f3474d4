package pull_test

import (
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// A layout that somebody published with tags alone is pulled as one in which skopeo
// and podman find its images by name, whole or one image of it.
func TestPulledNames(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	tagged := func(name, tag string) ocispec.Descriptor {
		d := l.Image("amd64", []byte(name))
		d.Annotations = map[string]string{oci.AnnotationImageName: "docker.io/library/" + name + ":" + tag, ocispec.AnnotationRefName: tag}
		return d
	}
	root := l.Publish(tagged("app", "1"), tagged("db", "1"))
	for rest, want := range map[string][]string{"": {"app:1", "db:1"}, "/db:1": {"db:1"}} {
		dir := t.TempDir()
		if err := mustSelect(t, blocks, root, rest).ToDirectory(t.Context(), dir, pull.Progress{}); err != nil {
			t.Fatal(err)
		}
		index := readIndex(t, dir)
		if len(index.Manifests) != len(want) {
			t.Fatalf("%q: %d images, want %d", rest, len(index.Manifests), len(want))
		}
		for i, desc := range index.Manifests {
			if got := desc.Annotations[ocispec.AnnotationRefName]; got != want[i] {
				t.Errorf("%q: ref.name %q, want %q", rest, got, want[i])
			}
		}
	}

	// What has its names keeps every byte of its index.
	other := testlayout.New(t, blocks)
	root = other.Publish(oci.Named(other.Image("amd64", []byte("x")), "app:1"))
	dir := t.TempDir()
	image := mustSelect(t, blocks, root, "")
	if err := image.ToDirectory(t.Context(), dir, pull.Progress{}); err != nil {
		t.Fatal(err)
	}
	published, err := layout.Open(t.Context(), blocks, root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if want := published.Files().IndexJSON; err != nil || string(got) != string(want) {
		t.Errorf("index.json is %s, published was %s", got, want)
	}
}
