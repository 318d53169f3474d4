package main

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// local is what this machine has: what it keeps, and what it has cached.
type local struct {
	blocks // of both
	store  *packstore.Store
	cache  *packstore.Cache
}

type blocks interface {
	ipfs.Viewer
	ipfs.Sender
}

func newLocal(store *packstore.Store, cache *packstore.Cache) local {
	return local{ipfs.First(store, cache).(blocks), store, cache}
}

// Has tells whether a block is here, without reading it.
func (l local) Has(ctx context.Context, c cid.Cid) bool {
	return l.store.Has(ctx, c) || l.cache.Has(ctx, c)
}

// Size tells how many bytes a block has, without reading it where that can be.
func (l local) Size(ctx context.Context, c cid.Cid) (int64, error) {
	n, err := l.store.Size(ctx, c)
	if errors.Is(err, ipfs.ErrNotFound) {
		return l.cache.Size(ctx, c)
	}
	return n, err
}

// Put caches a block.
func (l local) Put(ctx context.Context, c cid.Cid, data []byte) error {
	return l.cache.Put(ctx, c, data)
}
