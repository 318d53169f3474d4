package packstore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// scrub runs a scrub that is fast until enough says so.
func scrub(t *testing.T, s *packstore.Store, o packstore.ScrubOptions, enough func(*packstore.Scrub) bool) {
	t.Helper()
	sc, err := s.NewScrub(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- sc.Run(ctx) }()
	for !enough(sc) && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the scrub ended with %v", err)
	}
}

// A scrub finds what nobody has read, names what needs it, and what it has read
// need not be read again by publications.
func TestScrub(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(3<<20, "scrubbed")}
	right, _ := storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(2<<20, "right")}, "right:1")
	wrong, _ := storetest.Publish(t, s, content, "wrong:1")
	shares, _ := storetest.Publish(t, s, map[string][]byte{"f": content["f"], "g": {1}}, "shares:1")
	f, err := ipfs.Resolve(t.Context(), s, wrong, "f")
	if err != nil {
		t.Fatal(err)
	}
	checked := filepath.Join(s.Path(), "checked")
	if err := os.Remove(checked); err != nil { // as a store of before has none
		t.Fatal(err)
	}
	pack := packOf(t, s, 3<<20)
	flip(t, pack, 59+500)

	var found []packstore.Damage
	scrub(t, s, packstore.ScrubOptions{Every: time.Hour, Damaged: func(d packstore.Damage) { found = append(found, d) }},
		func(sc *packstore.Scrub) bool {
			st := sc.Stats()
			return st.Damaged == 1 && st.Packs == 2 && !st.Oldest.IsZero()
		})
	if len(found) != 1 || found[0].Pack != pack || len(found[0].Blocks) != 1 || len(found[0].Roots) != 2 {
		t.Fatalf("found %+v, want one block of %s, in two roots", found, pack)
	}
	for _, r := range found[0].Roots {
		if r.CID.Equals(right) || !r.CID.Equals(wrong) && !r.CID.Equals(shares) {
			t.Errorf("root %s is said to be damaged", r.CID)
		}
	}
	leaves := map[string]bool{}
	if err := ipfs.Blocks(t.Context(), s, f, 0, func(c cid.Cid, _ int64) bool { leaves[c.String()] = true; return true }); err != nil {
		t.Fatal(err)
	}
	if !leaves[found[0].Blocks[0].String()] {
		t.Errorf("%s is said to be damaged, which is no block of the file", found[0].Blocks[0])
	}

	// Publishing heals it, and reads the two others no more.
	before, err := os.ReadFile(checked)
	if err != nil || len(before) != 2*48+12 {
		t.Fatalf("%d bytes are remembered: %v", len(before), err)
	}
	storetest.Publish(t, open(t, s.Path()), content, "wrong:1")
	storetest.Check(t, s, wrong, content)
	after, err := os.ReadFile(checked)
	if err != nil || !sameRecords(before, after) {
		t.Errorf("what the scrub had read was read again (%v)", err)
	}
	scrub(t, s, packstore.ScrubOptions{Rate: 1 << 30}, func(sc *packstore.Scrub) bool { return sc.Stats().Packs > 3 })
}

// sameRecords tells whether all records of one file are in another.
func sameRecords(some, all []byte) bool {
	for r := range slices.Chunk(some[:len(some)-12], 48) {
		if !bytes.Contains(all, r) {
			return false
		}
	}
	return true
}

// The rate is not passed, and what makes no sense is refused.
func TestScrubRate(t *testing.T) {
	s := open(t, newPath(t))
	storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(3<<20, "rate")})
	if err := os.Remove(filepath.Join(s.Path(), "checked")); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	scrub(t, s, packstore.ScrubOptions{Rate: 6 << 20}, func(sc *packstore.Scrub) bool { return sc.Stats().Packs > 0 })
	if took := time.Since(begun); took < 450*time.Millisecond {
		t.Errorf("3 MiB were read in %s, at most 6 MiB in a second are allowed", took)
	}
	for _, o := range []packstore.ScrubOptions{{}, {Every: -1}, {Rate: -1, Every: 1}} {
		if _, err := s.NewScrub(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
