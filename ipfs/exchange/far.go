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

// searchFar gets a block from nodes that do not speak the protocol, and looks
// for nodes that have it. The error matches [errors.ErrUnsupported] when there
// is neither.
func (x *Exchange) searchFar(ctx context.Context, s *search) ([]byte, error) {
	c := s.c
	var asked sync.WaitGroup
	defer asked.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	others := make(chan result, 1)
	asked.Go(func() {
		data, err := x.fromOthers(ctx, c)
		others <- result{data, err}
	})
	head := time.NewTimer(othersHead)
	defer head.Stop()
	var nobody error
	select {
	case r := <-others:
		if r.err == nil {
			return r.data, nil
		}
		nobody = r.err
	case <-head.C:
	}
	found := make(chan result, 1)
	asked.Go(func() { found <- result{err: x.net.Find(ctx, c)} })
	return x.either(ctx, s, others, found, nobody)
}

// either takes a block from who is asked already, or from who is found.
func (x *Exchange) either(ctx context.Context, s *search, others, found <-chan result, nobody error) ([]byte, error) {
	c := s.c
	if nobody != nil {
		others = nil
	}
	var limit <-chan time.Time
	for {
		select {
		case r := <-others:
			if r.err == nil {
				return r.data, nil
			}
			others, nobody = nil, r.err
		case r := <-found:
			found = nil
			if r.err == nil {
				return x.afterFind(ctx, s, others)
			}
			if others == nil {
				return nil, r.err
			}
			timer := time.NewTimer(othersTime)
			defer timer.Stop()
			limit = timer.C
		case <-limit:
			return nil, fmt.Errorf("%w: block %s did not come from other nodes within %s", ipfs.ErrNotFound, c, othersTime)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: block %s: %w", ipfs.ErrUnavailable, c, ctx.Err())
		}
		if others == nil && found == nil {
			return nil, nobody
		}
	}
}

// afterFind asks again, now that other nodes are connected.
func (x *Exchange) afterFind(ctx context.Context, s *search, others <-chan result) ([]byte, error) {
	c := s.c
	data, err := x.searchPeers(ctx, s)
	if err == nil {
		return data, nil
	}
	if others == nil {
		return x.fromOthers(ctx, c)
	}
	select {
	case r := <-others:
		return r.data, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: block %s: %w", ipfs.ErrUnavailable, c, ctx.Err())
	}
}

// fromOthers gets one block by [Network.Blocks] and keeps it.
func (x *Exchange) fromOthers(ctx context.Context, c cid.Cid) (data []byte, err error) {
	err = x.net.Blocks(ctx, []cid.Cid{c}, func(_ cid.Cid, block []byte) error {
		data = block
		return ipfs.VerifyBlock(c, block)
	})
	switch {
	case err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, ipfs.ErrCorrupt):
		return nil, fmt.Errorf("%w: block %s from other nodes: %w", ipfs.ErrUnavailable, c, err)
	case err != nil:
		return nil, err
	case data == nil:
		return nil, fmt.Errorf("%w: block %s", ipfs.ErrNotFound, c)
	}
	x.keep(c, data)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.in(x.others, len(data))
	return data, nil
}
