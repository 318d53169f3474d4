package pull_test

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// What is pulled without a registry is what engines pull from one: whichever
// image of a name, and whatever is broken beside it.
func TestNames(t *testing.T) {
	registrytest.Questions(t, func(t *testing.T, blocks *testlayout.Blocks, name ref.Name) (digest.Digest, error) {
		l, err := layout.Open(t.Context(), blocks, name.Root)
		if err != nil {
			t.Fatal(err)
		}
		image, err := pull.Select(t.Context(), l, name, nil)
		if err != nil {
			return "", err
		}
		if several := image.Several(); several != nil {
			return "", several
		}
		return image.Target.Digest, nil
	})
}

// Two digests of one repository, and two images of one name, stay beside each
// other in a layout.
func TestBothStay(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	one, two := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	root := l.Publish(l.Index(one, two))
	again := testlayout.New(t, blocks)
	named := again.Image("amd64", []byte("three"))
	other := again.Publish(oci.Named(named, "app:1"), oci.Named(again.Image("s390x", []byte("four")), "db:1"))
	third := testlayout.New(t, blocks)
	newer := third.Image("amd64", []byte("five"))
	moved := third.Publish(oci.Named(newer, "app:1"))

	dir := t.TempDir()
	for _, name := range []ref.Name{
		{Root: root, Repository: "app", Digest: one.Digest}, {Root: root, Repository: "app", Digest: two.Digest},
		{Root: other, Repository: "app", Tag: "1"}, {Root: other, Repository: "db", Tag: "1"}, {Root: moved, Repository: "app", Tag: "1"},
	} {
		i, err := selected(t, blocks, name.Root, name.String()[len(ref.Ciq(name.Root)):], "")
		if err != nil {
			t.Fatal(err)
		}
		if err := i.ToDirectory(t.Context(), dir, pull.Progress{}); err != nil {
			t.Fatal(err)
		}
	}
	index := readIndex(t, dir)
	found := map[digest.Digest]string{}
	for _, desc := range index.Manifests {
		found[desc.Digest] = desc.Annotations["org.opencontainers.image.ref.name"]
	}
	for d, name := range map[digest.Digest]string{
		one.Digest: "app@" + one.Digest.String(), two.Digest: "app@" + two.Digest.String(), named.Digest: "", newer.Digest: "app:1",
	} {
		if got, ok := found[d]; !ok || got != name {
			t.Errorf("%s: there %v, named %q, want %q", d, ok, got, name)
		}
	}
	if len(index.Manifests) != 5 {
		t.Errorf("%d images, want 5", len(index.Manifests))
	}
}
