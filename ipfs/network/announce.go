package network

import (
	"context"
	"errors"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// announcer lists what a node tells a DHT or a routing server of: roots and
// manifests of what the own store keeps. It is safe for concurrent use.
type announcer struct {
	store ipfs.Store
	mu    sync.Mutex
	known map[cid.Cid][]cid.Cid // by root; what is under one never changes
}

// list gives the CIDs to announce.
func (a *announcer) list(ctx context.Context) ([]cid.Cid, error) {
	roots, err := a.store.Roots(ctx)
	if err != nil && !errors.Is(err, ipfs.ErrCorrupt) {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.known
	a.known = make(map[cid.Cid][]cid.Cid, len(roots))
	var all []cid.Cid
	for _, r := range roots {
		under, ok := before[r.CID]
		if !ok {
			if under, err = ipfs.Manifests(ctx, a.store, r.CID); err != nil {
				if ctx.Err() != nil {
					return nil, err
				}
				under = nil // an old image or a damaged one: its root is enough
			}
		}
		a.known[r.CID] = under
		all = append(append(all, r.CID), under...)
	}
	return all, nil
}
