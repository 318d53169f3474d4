package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
)

// healer reads from the embedded store and puts blocks right that are damaged
// or missing there, when another source has them. It is an [ipfs.Getter].
type healer struct {
	healing *packstore.Healing
	stored  ipfs.Getter // the store, its blocks hashed
	others  *sources.Set
	tell    func(c cid.Cid) // once of each block that was healed, one at a time

	mu     sync.Mutex // of what follows, and of healing
	healed map[cid.Cid]bool
}

func newHealer(ctx context.Context, store *packstore.Store, others *sources.Set, tell func(cid.Cid)) (*healer, error) {
	healing, err := store.Heal(ctx)
	if err != nil {
		return nil, err
	}
	return &healer{healing: healing, stored: ipfs.Verified(store), others: others, tell: tell, healed: map[cid.Cid]bool{}}, nil
}

// Close makes durable what was healed.
func (h *healer) Close() error { return errors.Join(h.healing.Close(), h.others.Close()) }

// Get gives a block that is right. Errors are those of the store; they say as
// well why a fault could not be healed.
func (h *healer) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, fault := h.stored.Get(ctx, c)
	if !errors.Is(fault, ipfs.ErrIntegrity) && !errors.Is(fault, ipfs.ErrNotFound) {
		return data, fault
	}
	data, err := h.others.Get(ctx, c)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		err = h.healing.Put(ctx, c, data)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; it was not healed: %v", fault, err)
	}
	if !h.healed[c] { // else two readers have found it
		h.healed[c] = true
		h.tell(c)
	}
	return data, nil
}

// healer gives a healer of the store if that keeps root and there are other
// sources of blocks; nil otherwise. It is to be closed.
func (o *sourceOptions) healer(ctx context.Context, all stores, root cid.Cid, tell func(cid.Cid)) (*healer, error) {
	var store *packstore.Store
	var rest stores
	for _, e := range all {
		if s, ok := e.(*packstore.Store); ok {
			store = s
		} else {
			rest = append(rest, e)
		}
	}
	if store == nil || !keeps(ctx, store, root) {
		return nil, nil
	}
	others, err := o.blocks(rest)
	if err != nil || len(others.Sources()) == 0 {
		return nil, err
	}
	h, err := newHealer(ctx, store, others, tell)
	if err != nil {
		return nil, errors.Join(err, others.Close())
	}
	return h, nil
}

// keeps tells whether root was published on the store.
func keeps(ctx context.Context, store *packstore.Store, root cid.Cid) bool {
	roots, _ := store.Roots(ctx) // of damaged records, the others are given
	for _, r := range roots {
		if string(r.CID.Hash()) == string(root.Hash()) {
			return true
		}
	}
	return false
}
