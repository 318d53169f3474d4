package legacy

import (
	"context"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Of a layer above 4 GiB the trailer has the size modulo 4 GiB only; a manifest
// with that size would be refused by every engine.
func TestSizeAbove4GiB(t *testing.T) {
	if testing.Short() {
		t.Skip("inflates 4 GiB")
	}
	const size = wrap + 1<<20
	ctx, blocks := context.Background(), testlayout.NewBlocks()
	root := oldtree.Add(t, blocks, map[string][]byte{"f": oldtree.GzipOfZeros(t, size)})
	c, err := ipfs.Resolve(ctx, blocks, root, "f")
	if err != nil {
		t.Fatal(err)
	}
	n, sure, err := QuickSize(ctx, blocks, c)
	if n != 1<<20 || sure || err != nil {
		t.Errorf("QuickSize: %d, sure %v (%v)", n, sure, err)
	}
	if n, err = Size(blocks)(ctx, c); n != size || err != nil {
		t.Errorf("Size: %d (%v), want %d", n, err, int64(size))
	}
}
