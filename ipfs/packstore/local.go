package packstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Local is what this machine has: what a store keeps, and what it has cached. It
// is a [ipfs.Viewer] and a [ipfs.Sender], and takes blocks into the cache.
type Local struct {
	blocks // of both
	store  *Store
	cache  *Cache
}

var _ ipfs.Holder = (*Local)(nil)

type blocks interface {
	ipfs.Viewer
	ipfs.Sender
}

// NewLocal puts a store and its cache together; closing them stays the caller's.
func NewLocal(store *Store, cache *Cache) *Local {
	return &Local{ipfs.First(store, cache).(blocks), store, cache}
}

// Has tells whether a block is here, without reading it.
func (l *Local) Has(ctx context.Context, c cid.Cid) bool {
	return l.store.Has(ctx, c) || l.cache.Has(ctx, c)
}

// Own tells whether the store keeps a block; what is in the cache may go.
func (l *Local) Own(ctx context.Context, c cid.Cid) bool { return l.store.Has(ctx, c) }

// Checked implements [ipfs.Checked]: of blocks that are in the cache alone.
func (l *Local) Checked(c cid.Cid) bool {
	return !l.store.Has(context.Background(), c) && l.cache.Checked(c)
}

// Size tells how many bytes a block has, without reading it where that can be.
// Errors are those of [Store.Size].
func (l *Local) Size(ctx context.Context, c cid.Cid) (int64, error) {
	n, err := l.store.Size(ctx, c)
	if errors.Is(err, ipfs.ErrNotFound) {
		return l.cache.Size(ctx, c)
	}
	return n, err
}

// Hold implements [ipfs.Holder] of what lies wholly in the store, or in the store and
// the cache, of which a part may go.
func (l *Local) Hold(ctx context.Context, c cid.Cid) (ipfs.Getter, func(), error) {
	held, release, err := l.store.Hold(ctx, c)
	if err == nil {
		return held, release, nil
	}
	whole := true
	err = ipfs.Blocks(ctx, l, c, 0, func(b cid.Cid, _ int64) bool {
		whole = whole && l.Has(ctx, b)
		return whole
	})
	if err == nil && !whole {
		err = fmt.Errorf("%w: a block below %s", ipfs.ErrNotFound, c)
	}
	return l, func() {}, err
}

// Put caches a block; errors are those of [Cache.Put].
func (l *Local) Put(ctx context.Context, c cid.Cid, data []byte) error {
	return l.cache.Put(ctx, c, data)
}
