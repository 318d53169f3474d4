package exchange

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// has asks a peer whether it has a block.
func (x *Exchange) has(ctx context.Context, p *peer, c cid.Cid, failures chan<- struct{}) bool {
	x.mu.Lock()
	rt := p.rt
	x.mu.Unlock()
	if rt == nil || ctx.Err() != nil {
		return false
	}
	s, err := x.askState(ctx, rt, c)
	if err != nil && ctx.Err() == nil {
		x.mu.Lock()
		x.report(p, forState, err)
		x.mu.Unlock()
		failures <- struct{}{}
	}
	return err == nil && s != none
}

// take gets a block from a peer and keeps it. The error matches
// [ipfs.ErrNotFound] when the peer does not have it.
func (x *Exchange) take(ctx context.Context, p *peer, c cid.Cid) (data []byte, err error) {
	x.mu.Lock()
	rt := p.rt
	x.mu.Unlock()
	if rt == nil {
		return nil, fmt.Errorf("%w: peer %s has gone", ipfs.ErrUnavailable, p.id)
	}
	select {
	case x.taking <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// What comes slowly leaves its place to others.
	leave := sync.OnceFunc(func() { <-x.taking })
	defer leave()
	late := time.AfterFunc(x.limits.Stall, leave)
	defer late.Stop()
	began := time.Now()
	r := request{root: c, cids: []cid.Cid{c}, yield: func(_ cid.Cid, block []byte) error {
		data = block
		return nil
	}}
	err = x.ask(ctx, rt, &r)
	if data != nil {
		x.keep(c, data)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	// Who asks may end it at any time, but a peer that had its time has failed.
	hadTime := time.Since(began) >= x.limits.Stall && errors.Is(context.Cause(ctx), errSlow)
	if (ctx.Err() == nil || hadTime) && (err != nil || data != nil) {
		x.report(p, forBlocks, err)
	}
	if data == nil {
		if err == nil {
			err = fmt.Errorf("%w: block %s", ipfs.ErrNotFound, c)
		}
		return nil, fmt.Errorf("peer %s: %w", p.id, err)
	}
	x.last = p.id
	x.in(p, len(data))
	return data, nil
}
