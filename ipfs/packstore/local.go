package packstore

import (
	"context"
	"errors"

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

// Size tells how many bytes a block has, without reading it where that can be.
// Errors are those of [Store.Size].
func (l *Local) Size(ctx context.Context, c cid.Cid) (int64, error) {
	n, err := l.store.Size(ctx, c)
	if errors.Is(err, ipfs.ErrNotFound) {
		return l.cache.Size(ctx, c)
	}
	return n, err
}

// Put caches a block; errors are those of [Cache.Put].
func (l *Local) Put(ctx context.Context, c cid.Cid, data []byte) error {
	return l.cache.Put(ctx, c, data)
}
