package exchange

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	searchTime = 30 * time.Second // for which the search for one block may stand still
	maxTaking  = 6                // single blocks on their way at once from one peer
	othersHead = time.Second      // for which others are asked before they are looked for
	othersTime = 5 * time.Second  // for one block, when nobody is looked for
)

// Get gives one block, checked: one of this machine, one that a [Exchange.Fetch]
// brings, or one that any peer has. Errors match [ipfs.ErrNotFound] when nobody
// has it, at once where there is nobody to look for, [ipfs.ErrUnavailable] when
// who may have it does not answer, and [ipfs.ErrOneBlock] then; or they are ctx's. As long as bytes come, however
// slowly, ctx is told so ([ipfs.WithProgress]). It goes before what is read ahead of the
// readers of whole files.
func (x *Exchange) Get(ctx context.Context, c cid.Cid) ([]byte, error) { return x.get(ctx, c, atOnce) }

func (x *Exchange) get(ctx context.Context, c cid.Cid, need need) ([]byte, error) {
	if data, err := x.local(ctx, c); err == nil {
		return data, nil
	}
	data, err := x.fetched(ctx, c, need)
	if !errors.Is(err, errNoJob) {
		return data, err
	}
	s, err := x.join(c)
	if err != nil {
		return nil, err
	}
	defer x.drop(s)
	t := x.teller(ctx, func() bool { return s.takes.Load() > 0 })
	defer t.stop()
	for {
		select {
		case <-s.done:
			return s.data, s.err
		case <-t.tick:
			t.tell()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// search is the search for one block, for all who want it.
type search struct {
	c       cid.Cid
	cancel  context.CancelCauseFunc
	wanted  int          // by so many; guarded by the exchange
	lingers bool         // nobody wants it any more, yet it comes and is kept; so guarded
	takes   atomic.Int64 // peers that are being asked for the block, or wait for their turn
	came    atomic.Bool  // bytes of the block
	done    chan struct{}
	data    []byte // when done
	err     error
}

func (x *Exchange) join(c cid.Cid) (*search, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	key := string(c.Hash())
	if s := x.searches[key]; s != nil {
		s.wanted++
		if s.lingers {
			s.lingers = false
			x.lingering--
		}
		return s, nil
	}
	s := &search{c: c, wanted: 1, done: make(chan struct{})}
	var ctx context.Context
	ctx, s.cancel = context.WithCancelCause(x.ctx)
	ok := x.task(func() {
		still := newIdle(searchTime, x.moving(func() bool { return s.takes.Load() > 0 }), func() { s.cancel(errSlow) })
		defer still.stop()
		s.data, s.err = x.search(ctx, s)
		if _, busy := ipfs.BusyUntil(s.err); !busy && errors.Is(s.err, ipfs.ErrUnavailable) {
			s.err = ipfs.OneBlock(s.err) // who is connected may give others
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.forgetSearch(s)
		close(s.done)
	})
	if !ok {
		s.cancel(nil)
		return nil, errClosed
	}
	x.searches[key] = s
	return s, nil
}

// forgetSearch notes that a search is over; x.mu is held.
func (x *Exchange) forgetSearch(s *search) {
	s.cancel(nil)
	if key := string(s.c.Hash()); x.searches[key] == s {
		delete(x.searches, key)
	}
	if s.lingers {
		s.lingers = false
		x.lingering--
	}
}

// drop ends a search that nobody wants any more. A block of which something has come is
// let come, and kept: over a slow link, whoever asks again would never get it else.
func (x *Exchange) drop(s *search) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.wanted--; s.wanted > 0 {
		return
	}
	if s.came.Load() && x.searches[string(s.c.Hash())] == s && x.lingering < maxTaking && !time.Now().Before(x.pausedTo) {
		s.lingers = true
		x.lingering++
		return
	}
	x.forgetSearch(s)
}

// search asks the peers, then others, then those who can be found.
func (x *Exchange) search(ctx context.Context, s *search) ([]byte, error) {
	c := s.c
	if data, err := x.local(ctx, c); err == nil { // it came meanwhile
		return data, nil
	}
	data, err := x.searchPeers(ctx, s)
	if err == nil || ctx.Err() != nil {
		return data, err
	}
	far, farErr := x.searchFar(ctx, s)
	if farErr == nil {
		return far, nil
	}
	if errors.Is(farErr, errors.ErrUnsupported) {
		return nil, err
	}
	return nil, fmt.Errorf("%w; %w", err, farErr)
}

// errSlow is why a request ends whose block another peer has sent meanwhile, or
// has no time left.
var errSlow = fmt.Errorf("%w: a block takes too long", ipfs.ErrUnavailable)
