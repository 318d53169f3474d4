package ipfs_test

import (
	"errors"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Whoever opens a root must be able to tell what is no layout from a broken one, and who
// walks through somebody else's blocks the end of his budget from damage.
func TestPromisedErrors(t *testing.T) {
	blocks := testlayout.NewBlocks()
	dir := testlayout.Dir(t, blocks, nil)
	if _, err := ipfs.OpenLayout(t.Context(), blocks, dir); !errors.Is(err, ipfs.ErrNoLayout) || !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("a directory that is no layout: %v", err)
	}
	small := ipfs.Budget(blocks, 2<<10)
	var err error
	for range 3 {
		_, err = small.Get(t.Context(), dir)
	}
	if !errors.Is(err, ipfs.ErrBudget) || errors.Is(err, ipfs.ErrCorrupt) {
		t.Errorf("more than the budget: %v", err)
	}
}
