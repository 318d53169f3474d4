package packstore_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// What is taken for unused must be so; and who asks for roots that nobody keeps must not
// fill the disk with notes about them.
func TestUse(t *testing.T) {
	s, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	kept, _ := storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(100, "used")})
	if at := s.LastUse(kept); !at.IsZero() {
		t.Errorf("never pulled, and used at %s", at)
	}
	for range 2 { // the second finds the file
		before := time.Now().Add(-time.Minute)
		if err := s.NoteUse(kept); err != nil {
			t.Fatal(err)
		}
		if at := s.LastUse(kept); at.Before(before) {
			t.Errorf("used at %s, which is before %s", at, before)
		}
		past := time.Now().Add(-time.Hour)
		file := filepath.Join(s.Path(), "used", cid.NewCidV1(kept.Type(), kept.Hash()).String()+".json")
		if err := os.Chtimes(file, past, past); err != nil {
			t.Fatal(err)
		}
	}
	stranger, err := cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}.Sum([]byte("nobody's"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.NoteUse(stranger); err != nil {
		t.Error(err)
	}
	remove(t, s, kept)
	if left, _ := os.ReadDir(filepath.Join(s.Path(), "used")); len(left) > 0 || !s.LastUse(kept).IsZero() {
		t.Errorf("%v are noted of roots that are not kept", left)
	}
}

// Notes about what a record kept go with that.
func TestUseOfRecord(t *testing.T) {
	s, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := ipfs.Key{Kind: "manifest", Space: "app", Name: "1"}
	hold := storetest.Keep(t, s, map[string][]byte{"f": storetest.Random(100, "held")}, ipfs.Record{Key: key})
	if err := s.NoteHeld(hold); err != nil || s.LastUse(hold).IsZero() {
		t.Fatal(err)
	}
	for _, there := range []bool{true, false} {
		if !there {
			if err := s.Forget(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.GC(t.Context(), packstore.GCOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := !s.LastUse(hold).IsZero(); got != there {
			t.Errorf("the use is noted: %t, want %t", got, there)
		}
	}
}
