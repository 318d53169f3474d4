package publish

import (
	"context"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// What is published again by other options is what its archive would have been, and
// what lacks a block, or is no layout, leaves nothing.
func TestAgain(t *testing.T) {
	s := newStore(t)
	path := attested(layerTar(1)).write(t)
	a, err := archive.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	plain, err := Publish(t.Context(), a, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Again(t.Context(), s, plain.Root, s, Options{Recompress: true})
	if err != nil {
		t.Fatal(err)
	}
	want, err := recompressed(t, newStore(t), path)
	if err != nil {
		t.Fatal(err)
	}
	if again.Root != want.Root || again.Root == plain.Root {
		t.Errorf("%s again is %s, its archive recompressed is %s", plain.Root, again.Root, want.Root)
	}
	same, err := Again(t.Context(), s, plain.Root, s, Options{})
	if err != nil || same.Root != plain.Root {
		t.Errorf("as it is: %v, %v", same, err)
	}

	l, err := ipfs.OpenLayout(t.Context(), s, plain.Root)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := l.Locate(t.Context(), plain.Layers[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	lacking := lacks{s, blob}
	to := newStore(t)
	if _, err := Again(t.Context(), lacking, plain.Root, to, Options{Recompress: true}); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("without its layer: %v", err)
	}
	if _, err := Again(t.Context(), s, blob, to, Options{}); !errors.Is(err, ipfs.ErrNoDir) {
		t.Errorf("of a layer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Again(ctx, s, plain.Root, to, Options{}); err == nil {
		t.Error("canceled, and published")
	}
	if kept, err := to.Roots(t.Context()); err != nil || len(kept) > 0 {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// lacks is a store that has lost a block.
type lacks struct {
	ipfs.Getter
	lost cid.Cid
}

func (l lacks) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if c.Equals(l.lost) {
		return nil, ipfs.ErrNotFound
	}
	return l.Getter.Get(ctx, c)
}
