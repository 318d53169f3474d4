package local_test

import (
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// keepImage keeps a root of one image, as publish does, with its local name, or as
// pin add does.
func (c *collected) keepImage(t *testing.T, layer, name string, published time.Time, pinned bool) cid.Cid {
	t.Helper()
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := testlayout.New(t, tx)
	image := l.Image("amd64", []byte(layer))
	root := ipfs.Root{CID: l.Publish(oci.Named(image, name)), Names: []string{name}, Published: published, Pinned: pinned}
	if _, err = tx.Commit(t.Context(), root); err == nil && !pinned {
		_, err = local.Publish(t.Context(), c.Store, root.CID, []local.Image{{Name: name, Descriptor: image}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return root.CID
}

// going are the roots that rules take away.
func (c *collected) going(t *testing.T, r local.Retention) (roots []cid.Cid) {
	t.Helper()
	going, _, err := local.Stores{c.Store}.Retain(t.Context(), r, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range going {
		roots = append(roots, g.CID)
	}
	return roots
}

// A rollback must not cost the image that a tag means again: it is what people pull, however
// long ago it was published, and the one that it took the place of is old.
func TestRetainAfterRollback(t *testing.T) {
	days := func(n int) time.Time { return time.Now().Add(-time.Duration(n) * 24 * time.Hour) }
	c := newCollected(t)
	good := c.keepImage(t, "good", "web:1", days(60), false)
	bad := c.keepImage(t, "bad", "web:1", days(40), false)
	if _, _, err := (local.Stores{c.Store}).Tag(t.Context(), "web:1", good.String()); err != nil {
		t.Fatal(err)
	}
	again := c.keepImage(t, "bad", "web:1", days(0), false) // which leaves the name what tag made it
	pushedGood := c.push(t, "1", 1)
	pushedBad := c.push(t, "1", 2)
	if _, _, err := (local.Stores{c.Store}).Tag(t.Context(), "app:1", pushedGood.String()); err != nil || !again.Equals(bad) {
		t.Fatal(err, again, bad)
	}
	older := 30 * 24 * time.Hour
	for say, row := range map[string]struct {
		r    local.Retention
		want []cid.Cid
	}{
		"by name":            {local.Retention{Names: []string{"web:1"}, Keep: 1}, []cid.Cid{bad}},
		"by pattern":         {local.Retention{Match: []string{"web"}, Keep: 1}, []cid.Cid{bad}},
		"what was pushed":    {local.Retention{Names: []string{"app:1"}, Keep: 1}, []cid.Cid{pushedBad}},
		"pushed, by pattern": {local.Retention{Match: []string{"app:*"}, Keep: 1}, []cid.Cid{pushedBad}},
		"by age":             {local.Retention{Names: []string{"web:1"}, Older: older}, nil},
		"by both":            {local.Retention{Match: []string{"*"}, Keep: 1, Older: time.Nanosecond}, []cid.Cid{bad, pushedBad}},
	} {
		if got := c.going(t, row.r); !sameSet(got, row.want) {
			t.Errorf("%s: %v go, want %v; good is %s, pushed %s", say, got, row.want, good, pushedGood)
		}
	}
}

// What somebody has pinned stays, whatever it is called here or elsewhere, and although it
// was pushed; what publish took the name of is nobody's.
func TestRetainUntaggedLeavesPinned(t *testing.T) {
	now := time.Now()
	c := newCollected(t)
	theirs := c.keepImage(t, "theirs", "team/app:1", now.Add(-2*time.Hour), true)
	was := c.keepImage(t, "was", "team/app:1", now.Add(-time.Hour), false)
	both := c.keepImage(t, "both", "team/app:1", now.Add(-time.Hour), false)
	c.keepImage(t, "both", "team/app:1", now, true)
	is := c.keepImage(t, "is", "team/app:1", now, false)
	pushedWas, kept := c.push(t, "1", 1), c.push(t, "1", 2)
	c.push(t, "1", 3)
	if err := pin(t, c, kept); err != nil {
		t.Fatal(err)
	}
	if got := c.going(t, local.Retention{Untagged: true}); !sameSet(got, []cid.Cid{was, pushedWas}) {
		t.Errorf("%v go, want %s and %s; pinned are %s, %s and %s, the name means %s", got, was, pushedWas, theirs, both, kept, is)
	}
}
