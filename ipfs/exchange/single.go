package exchange

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	searchTime   = 30 * time.Second // for one block
	searchAsking = 8                // peers asked at once for one block
	maxTaking    = 6                // single blocks on their way at once
	firstHead    = time.Second      // for which the peer that had the last block is asked alone
	othersHead   = time.Second      // for which others are asked before they are looked for
	othersTime   = 5 * time.Second  // for one block, when nobody is looked for
)

// Get gives one block, checked: one of this machine, one that a [Exchange.Fetch]
// brings, or one that any peer has. Errors match [ipfs.ErrNotFound] when nobody
// has it, at once where there is nobody to look for, [ipfs.ErrUnavailable] when
// who may have it does not answer; or they are ctx's.
func (x *Exchange) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, err := x.local(ctx, c); err == nil {
		return data, nil
	}
	data, err := x.fetched(ctx, c)
	if !errors.Is(err, errNoJob) {
		return data, err
	}
	s, err := x.join(c)
	if err != nil {
		return nil, err
	}
	defer x.drop(s)
	select {
	case <-s.done:
		return s.data, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// search is the search for one block, for all who want it.
type search struct {
	c      cid.Cid
	cancel context.CancelFunc
	wanted int // by so many; guarded by the exchange
	done   chan struct{}
	data   []byte // when done
	err    error
}

func (x *Exchange) join(c cid.Cid) (*search, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	key := string(c.Hash())
	if s := x.searches[key]; s != nil {
		s.wanted++
		return s, nil
	}
	s := &search{c: c, wanted: 1, done: make(chan struct{})}
	var ctx context.Context
	ctx, s.cancel = context.WithTimeoutCause(x.ctx, searchTime, errSlow)
	ok := x.task(func() {
		s.data, s.err = x.search(ctx, c)
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.searches[key] == s {
			delete(x.searches, key)
		}
		close(s.done)
	})
	if !ok {
		s.cancel()
		return nil, errClosed
	}
	x.searches[key] = s
	return s, nil
}

// drop ends a search that nobody wants any more.
func (x *Exchange) drop(s *search) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.wanted--; s.wanted > 0 {
		return
	}
	s.cancel()
	if key := string(s.c.Hash()); x.searches[key] == s {
		delete(x.searches, key)
	}
}

// search asks the peers, then others, then those who can be found.
func (x *Exchange) search(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, err := x.local(ctx, c); err == nil { // it came meanwhile
		return data, nil
	}
	data, err := x.searchPeers(ctx, c)
	if err == nil || ctx.Err() != nil {
		return data, err
	}
	far, farErr := x.searchFar(ctx, c)
	if farErr == nil {
		return far, nil
	}
	if errors.Is(farErr, errors.ErrUnsupported) {
		return nil, err
	}
	return nil, fmt.Errorf("%w; %w", err, farErr)
}

// candidates are the peers that may be asked, the one that had the last block
// first; resting those that may not for a while.
func (x *Exchange) candidates() (all []*peer, resting int) {
	x.lookAround()
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	for _, p := range x.peers {
		if p.usable(now) {
			all = append(all, p)
		} else if p.recovers(now) {
			resting++
		}
	}
	if i := slices.IndexFunc(all, func(p *peer) bool { return p.id == x.last }); i > 0 {
		all[0], all[i] = all[i], all[0]
	}
	return all, resting
}

// searchPeers gets a block from the first peer that has it.
func (x *Exchange) searchPeers(ctx context.Context, c cid.Cid) ([]byte, error) {
	all, resting := x.candidates()
	failed := resting
	if len(all) > 0 && all[0].id == x.lastHolder() {
		short, cancel := context.WithTimeout(ctx, firstHead)
		data, err := x.take(short, all[0], c)
		cancel()
		if err == nil {
			return data, nil
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	failures := make(chan struct{}, len(all))
	data, unable := x.takeFirst(ctx, cancel, c, x.holding(ctx, all, c, failures))
	if data != nil {
		return data, nil
	}
	failed += unable
	if len(all)+resting == 0 {
		return nil, fmt.Errorf("%w: block %s: no peer is connected", ipfs.ErrNotFound, c)
	}
	if failed += len(failures); failed > 0 {
		err := fmt.Errorf("%w: block %s: %d of %d peers do not answer, and the others do not have it", ipfs.ErrUnavailable, c, failed, len(all)+resting)
		x.mu.Lock()
		defer x.mu.Unlock()
		return nil, x.comeBack(err, time.Now())
	}
	return nil, fmt.Errorf("%w: block %s: none of %d peers has it", ipfs.ErrNotFound, c, len(all))
}

// holding gives those of some peers that have a block, as they say so, and ends
// when all have been asked.
func (x *Exchange) holding(ctx context.Context, all []*peer, c cid.Cid, failures chan<- struct{}) <-chan *peer {
	have := make(chan *peer)
	var g errgroup.Group
	g.SetLimit(searchAsking)
	go func() {
		defer close(have)
		for _, p := range all {
			g.Go(func() error {
				if !x.has(ctx, p, c, failures) {
					return nil
				}
				select {
				case have <- p:
				case <-ctx.Done():
				}
				return nil
			})
		}
		_ = g.Wait() // questions do not fail
	}()
	return have
}

// errSlow is why a request ends whose block another peer has sent meanwhile, or
// has no time left.
var errSlow = fmt.Errorf("%w: a block takes too long", ipfs.ErrUnavailable)

// takeFirst gets a block from one of those that have it, and ends ctx by cancel
// then. The first is given Stall before the next is asked beside it, and each that
// follows less, the more are asked: those who send slowly on purpose, however many, must
// not keep a block from coming. It returns when nobody is
// asked any more; failed counts who had the block and did not give it.
func (x *Exchange) takeFirst(ctx context.Context, cancel context.CancelCauseFunc, c cid.Cid, have <-chan *peer) (data []byte, failed int) {
	results := make(chan result)
	late := time.NewTimer(x.limits.Stall)
	defer late.Stop()
	running, next := 0, have // next is nil while nobody else is asked
	for have != nil || running > 0 {
		select {
		case p, ok := <-next:
			if !ok {
				have, next = nil, nil
			} else if data == nil {
				running, next = running+1, nil
				late.Reset(x.limits.Stall / time.Duration(running))
				go func() {
					data, err := x.take(ctx, p, c)
					results <- result{data, err}
				}()
			}
		case r := <-results:
			running, next = running-1, have
			if r.err == nil {
				data = r.data
				cancel(errSlow)
			} else if !errors.Is(r.err, ipfs.ErrNotFound) {
				failed++
			}
		case <-late.C:
			next = have
		}
	}
	return data, failed
}

func (x *Exchange) lastHolder() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last
}
