package packstore_test

import (
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// A block that came from a peer is compared with its CID once, and not again by each
// who reads it; what the store keeps is compared as ever.
func TestCheckedOnce(t *testing.T) {
	s := open(t, t.TempDir())
	cache, err := s.Cache(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	local := packstore.NewLocal(s, cache)
	block := ipfs.EmptyDirectoryBlock()
	c := ipfs.EmptyDirectory
	if ipfs.IsChecked(local, c) {
		t.Error("what is not here counts as checked")
	}
	if err := local.Put(t.Context(), c, block); err != nil {
		t.Fatal(err)
	}
	if !ipfs.IsChecked(local, c) || ipfs.IsChecked(s, c) {
		t.Error("a block of the cache is compared again")
	}
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	if err := tx.Put(t.Context(), c, block); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: c}); err != nil {
		t.Fatal(err)
	}
	if ipfs.IsChecked(local, c) {
		t.Error("a block of the store is not compared")
	}
}
