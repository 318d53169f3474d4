package pull_test

import (
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// A layout that lacks something is refused, and nothing of it is kept.
func TestKeepIncomplete(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	image := l.Image("amd64", []byte("layer"))
	l.Without(digest.FromString("layer"))
	root := l.Publish(image)
	from := sources.New(sources.Options{}, sources.Near(b))
	defer from.Close()
	store, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	opened, err := layout.Open(t.Context(), from, root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pull.Keep(t.Context(), from, store, opened); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("got error %v, want one that matches ErrNotFound", err)
	}
	if roots, err := store.Roots(t.Context()); err != nil || len(roots) > 0 {
		t.Errorf("the store keeps %v (%v)", roots, err)
	}
}
