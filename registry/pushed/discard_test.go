package pushed_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// What a server clears away by itself must be nobody's: no tag's, and nothing that
// somebody published or pinned.
func TestSpares(t *testing.T) {
	b := newBench(t)
	published, _ := b.published(map[string]string{"app:1": "published"})
	before := time.Now().Add(-time.Minute)
	first, _ := b.retired("1", b.image("app", "one"))
	second, _ := b.retired("1", b.image("app", "two"))
	third, _ := b.retired("1", b.image("app", "three"))
	current, err := b.Current(t.Context())
	if err != nil || len(current) != 1 || !slices.Equal(current[third.KeyString()], []string{"app:1"}) {
		t.Errorf("current are %v, %v", current, err)
	}
	spares, err := b.Spares(t.Context())
	if err != nil || len(spares) != 2 || !spares[0].CID.Equals(first) || !spares[1].CID.Equals(second) {
		t.Fatalf("spare are %v, %v", spares, err)
	}
	if s := spares[0]; s.Since.Before(before) || s.Since.Before(s.Published) {
		t.Errorf("since %s, published %s", s.Since, s.Published)
	}
	for root, want := range map[cid.Cid]bool{first: true, published: false, third: false} {
		if gone, err := b.Discard(t.Context(), root); err != nil || gone != want || b.keeps(root) == want {
			t.Errorf("%s: gone %t, %v, want %t", root, gone, err, want)
		}
	}
	if gone, err := b.Discard(t.Context(), first); gone || err != nil && !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("once more: gone %t, %v", gone, err)
	}
	b.gc()
	for layer, want := range map[string]bool{"one": false, "two": true, "three": true} {
		_, err := b.Repository("app").Blob(t.Context(), digest.FromString(layer))
		if got := err == nil; got != want || err != nil && !errors.Is(err, oci.ErrNotFound) {
			t.Errorf("layer %s: %v", layer, err)
		}
	}
}

// forgetful does something else before it forgets records.
type forgetful struct {
	*packstore.Store
	before func()
}

func (f *forgetful) Forget(ctx context.Context, keys ...ipfs.Key) error {
	f.before()
	return f.Store.Forget(ctx, keys...)
}

// What somebody publishes while it is taken away stays.
func TestDiscardOfWhatIsPublished(t *testing.T) {
	b := newBench(t)
	root, _ := b.retired("1", b.image("app", "one"))
	b.retired("1", b.image("app", "two"))
	s := &forgetful{b.store, func() {
		tx, err := b.store.Begin(t.Context())
		if err == nil {
			_, err = tx.Commit(t.Context(), ipfs.Root{CID: root, Names: []string{}})
		}
		if err != nil {
			t.Error(err)
		}
	}}
	if gone, err := pushed.New(s, pushed.Options{}).Discard(t.Context(), root); err != nil || gone || !b.keeps(root) {
		t.Errorf("gone %t, %v, kept %t", gone, err, b.keeps(root))
	}
}
