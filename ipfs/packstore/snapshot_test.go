package packstore_test

import (
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// What was kept at one moment can be read for as long as it is held, whatever is removed
// and collected, and what comes later is no part of it.
func TestSnapshot(t *testing.T) {
	s := open(t, t.TempDir()+"/store")
	files := map[string][]byte{"f": storetest.Random(1<<20, "first")}
	c, _ := storetest.Publish(t, s, files)
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	later, _ := storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(1<<10, "later")})
	remove(t, s, c)
	gc(t, s)
	if _, err := s.Get(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
		t.Fatalf("it was not collected: %v", err)
	}
	if len(snap.Roots) != 1 || !snap.Roots[0].CID.Equals(c) {
		t.Errorf("the roots are %v", snap.Roots)
	}
	blocks := 0
	if err := ipfs.Blocks(t.Context(), snap, c, 0, func(b cid.Cid, _ int64) bool {
		if data, err := snap.Get(t.Context(), b); err != nil || ipfs.VerifyBlock(b, data) != nil {
			t.Errorf("block %s: %v", b, err)
		}
		blocks++
		return true
	}); err != nil {
		t.Error(err)
	}
	if _, err := snap.Get(t.Context(), later); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("what came later: %v", err)
	}
	snap.Release()
	if blocks < 2 {
		t.Errorf("%d blocks", blocks)
	}
}
