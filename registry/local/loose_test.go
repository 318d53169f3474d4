package local_test

import (
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/registry/local"
)

// What was pushed by digest alone takes space that somebody wants back: it counts, rm says
// what it really frees, and takes it, but not while an index may be to come.
func TestLooseCounts(t *testing.T) {
	c := newCollected(t)
	root := c.push(t, "1", 1)
	c.put(t, 2)
	all := local.Stores{c.Store}
	usage, total, err := all.Usage(t.Context())
	if err != nil || len(usage) != 2 || usage[1].Loose == nil || usage[1].Alone < layerSize || total < 2*layerSize {
		t.Fatalf("%+v, %d bytes in all, %v", usage, total, err)
	}
	c.put(t, 1) // what app:1 is, which changes nothing, and the same elsewhere by digest
	roots, _ := all.Roots(t.Context())
	if frees, err := all.Frees(t.Context(), roots...); err != nil || !roots[0].CID.Equals(root) || frees[0] < layerSize {
		t.Errorf("rm app:1 frees %d, %v", frees, err)
	}
	untagged := local.Retention{Untagged: true, Names: []string{"app"}}
	if got := c.going(t, untagged); len(got) > 0 {
		t.Errorf("just pushed, and %v go", got)
	}
	going, _, err := all.Retain(t.Context(), untagged, time.Now().Add(25*time.Hour))
	if err != nil || len(going) != 1 || going[0].Loose == nil {
		t.Fatalf("%v go, %v", going, err)
	}
	frees, err := all.Frees(t.Context(), going[0].Kept)
	if err == nil {
		err = all.Take(t.Context(), going[0].Kept)
	}
	freed, failed := c.Collect(t.Context())
	if err != nil || failed != nil || frees[0] < layerSize || freed < layerSize {
		t.Errorf("%d bytes were told, %d are free, %v, %v", frees, freed, err, failed)
	}
	if left, err := all.Loose(t.Context()); err != nil || len(left) > 0 || !c.Keeps(t.Context(), root) {
		t.Errorf("left are %v, %v", left, err)
	}
}

// What a manifest by digest in another repository has as well is not free without it.
func TestFreesWithoutLoose(t *testing.T) {
	c := newCollected(t)
	c.push(t, "1", 1)
	c.push(t, "1", 2)
	c.repository = "other"
	c.put(t, 1)
	all := local.Stores{c.Store}
	roots, err := all.Roots(t.Context())
	if err != nil || len(roots) != 2 {
		t.Fatal(roots, err)
	}
	frees, err := all.Frees(t.Context(), roots...)
	if err != nil || frees[0] > layerSize/2 || frees[1] < layerSize {
		t.Errorf("they free %d, %v", frees, err)
	}
}

// A store over its limit gives up what was pushed by digest, and no image by whose going
// nothing gets free; what is pulled by digest stays.
func TestCollectLoose(t *testing.T) {
	c := newCollected(t)
	kept := c.push(t, "1", 1) // the other repository has it, too
	c.push(t, "1", 2)
	c.repository = "other"
	c.put(t, 1)
	_, unused := c.put(t, 3)
	_, pulled := c.put(t, 4)
	all := local.Stores{c.Store}
	loose, err := all.Loose(t.Context())
	if err != nil || len(loose) != 3 {
		t.Fatal(loose, err)
	}
	now := time.Now().Add(48 * time.Hour)
	for _, k := range loose {
		if k.Loose.Digest != unused { // also what app:1 was
			c.used[k.CID.KeyString()] = now.Add(-time.Hour)
		}
	}
	limit := c.size(t) - layerSize/2
	collector := local.NewCollector(c, local.CollectorOptions{Limit: limit})
	collector.SetNow(func() time.Time { return now })
	done, err := collector.Collect(t.Context())
	if err != nil || len(done.Removed) > 0 || len(done.Loose) != 1 || done.Loose[0].Digest != unused || done.Over != 0 || !c.Keeps(t.Context(), kept) {
		t.Errorf("removed %v and %v, over by %d, %v", done.Removed, done.Loose, done.Over, err)
	}
	c.put(t, 5)
	collector = local.NewCollector(c, local.CollectorOptions{Unused: 24 * time.Hour})
	collector.SetNow(func() time.Time { return now })
	if done, err = collector.Collect(t.Context()); err != nil || len(done.Loose) != 1 || collector.Stats().Removed != int64(len(done.Removed)+1) {
		t.Errorf("removed %v and %v, %v", done.Removed, done.Loose, err)
	}
	left, err := all.Loose(t.Context())
	stays := false
	for _, k := range left {
		stays = stays || k.Loose.Digest == pulled
	}
	if err != nil || !stays {
		t.Errorf("what is pulled is gone: %v, %v", left, err)
	}
}
