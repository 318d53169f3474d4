package exchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	searchAsking = 8 // peers asked at once whether they have one block
	// stillShare of the lead is what who was asked for a block gets while nothing comes
	// from anybody: then no slow link is why it does not come.
	stillShare = 5
)

// hunt gets one block from whichever of the connected peers gives it first.
type hunt struct {
	x       *Exchange
	s       *search
	all     []*peer      // that may be asked, the best first
	resting int          // peers that may not for a while
	asked   int          // for the block
	failed  int          // did not give what they say that they have, or did not answer
	mute    atomic.Int64 // did not answer whether they have it
	spared  atomic.Int64 // were not asked, since it was over before
}

// claim is a peer and what it says that it has of the block's DAG.
type claim struct {
	p    *peer
	told state
}

// candidates are the peers that may be asked: the one that had the last block first, then
// those that have given any; resting those that may not for a while. Where there are no
// others, those that failed a moment ago are asked again after that moment.
func (x *Exchange) candidates(ctx context.Context) (all []*peer, resting int) {
	x.lookAround()
	all, resting = x.usable()
	if len(all) > 0 || resting == 0 {
		return all, resting
	}
	pause := time.NewTimer(firstRest)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return nil, resting
	}
	x.lookAround()
	if all, resting = x.usable(); len(all) > 0 {
		return all, resting
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.peers {
		if from, may := p.pressed(time.Now()); may && !time.Now().Before(from) {
			all = append(all, p)
		}
	}
	return all, resting - len(all)
}

func (x *Exchange) usable() (all []*peer, resting int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	for _, p := range x.peers { // in no order
		if p.usable(now) {
			all = append(all, p)
		} else if p.recovers(now) {
			resting++
		}
	}
	rank := func(p *peer) int {
		switch {
		case p.id == x.last:
			return 0
		case p.traffic.BytesIn > 0 && p.failed() == 0:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b *peer) int { return cmp.Compare(rank(a), rank(b)) })
	return all, resting
}

// searchPeers gets a block from the first peer that has it.
func (x *Exchange) searchPeers(ctx context.Context, s *search) ([]byte, error) {
	h := &hunt{x: x, s: s}
	h.all, h.resting = x.candidates(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if data := h.run(ctx, cancel); data != nil {
		return data, nil
	}
	return nil, h.missing()
}

// missing says why no peer gave the block.
func (h *hunt) missing() error {
	x, c, peers := h.x, h.s.c, len(h.all)+h.resting
	if peers == 0 {
		return fmt.Errorf("%w: block %s: no peer is connected", ipfs.ErrNotFound, c)
	}
	failed, spared := h.failed+h.resting+int(h.mute.Load()), h.spared.Load()
	if failed == 0 && spared == 0 {
		return fmt.Errorf("%w: block %s: none of %d peers has it", ipfs.ErrNotFound, c, peers)
	}
	rest := "the others do not have it"
	if spared > 0 {
		rest = fmt.Sprintf("%d were not asked in time", spared)
	}
	err := fmt.Errorf("%w: block %s: %d of %d peers do not answer, or give nothing of what they say that they have, and %s", ipfs.ErrUnavailable, c, failed, peers, rest)
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.comeBack(err, time.Now())
}

// run asks one peer for the block after the other, and ends ctx by cancel when one has
// given it. The one that had the last block is asked first, without being asked whether it
// has this. Each is given a lead before the next is asked beside it, the shorter the more
// were asked: those who send slowly on purpose, or nothing at last, however many, must not
// keep a block from coming. It returns when nobody is asked any more.
func (h *hunt) run(ctx context.Context, cancel context.CancelCauseFunc) (data []byte) {
	results := make(chan result)
	late := time.NewTimer(time.Hour)
	defer late.Stop()
	var have, next <-chan claim // have is nil until it is needed, next while nobody else is asked
	running, rest, lead := 0, h.all, lead{}
	ask := func(c claim) {
		h.asked++
		running, next, lead = running+1, nil, h.begin()
		late.Reset(lead.short)
		go func() {
			data, err := h.x.take(ctx, h, c)
			results <- result{data, err}
		}()
	}
	others := func() <-chan claim {
		if have == nil {
			have = h.holding(ctx, rest)
		}
		return have
	}
	if len(rest) > 0 && rest[0].id == h.x.lastHolder() {
		rest = rest[1:]
		ask(claim{h.all[0], none})
	} else {
		next = others()
	}
	for over := false; running > 0 || !over; {
		select {
		case c, ok := <-next:
			if !ok {
				over, next = true, nil
			} else if data == nil {
				ask(c)
			}
		case r := <-results:
			running--
			if r.err == nil {
				data = r.data
				cancel(errSlow)
			} else if !errors.Is(r.err, ipfs.ErrNotFound) {
				h.failed++
			}
			over = over || data != nil && have == nil
			if !over {
				next = others()
			}
		case <-late.C:
			if more := h.more(lead); more > 0 {
				late.Reset(more)
			} else if !over {
				next = others()
			}
		}
	}
	return data
}

// lead is for how long a peer is asked before the next is asked as well.
type lead struct {
	began       time.Time
	read        int64         // bytes that had come from anybody by then
	short, long time.Duration // while nothing comes, and while anything does
}

func (h *hunt) begin() lead {
	long := h.x.limits.Stall / time.Duration(h.asked)
	return lead{time.Now(), h.x.read.Load(), long / stillShare, long}
}

// more is what is left of a lead whose short part is over.
func (h *hunt) more(l lead) time.Duration {
	if h.x.read.Load() == l.read {
		return 0
	}
	return time.Until(l.began.Add(l.long))
}

// holding gives those of some peers that have the block, as they say so, and ends
// when all have been asked.
func (h *hunt) holding(ctx context.Context, peers []*peer) <-chan claim {
	have := make(chan claim)
	var g errgroup.Group
	g.SetLimit(searchAsking)
	go func() {
		defer close(have)
		for _, p := range peers {
			g.Go(func() error {
				told := h.has(ctx, p)
				if told == none {
					return nil
				}
				select {
				case have <- claim{p, told}:
				case <-ctx.Done():
					h.spared.Add(1)
				}
				return nil
			})
		}
		_ = g.Wait() // questions do not fail
	}()
	return have
}

// has asks a peer what it has of the block's DAG.
func (h *hunt) has(ctx context.Context, p *peer) state {
	x := h.x
	x.mu.Lock()
	rt := p.rt
	x.mu.Unlock()
	if rt == nil {
		h.mute.Add(1)
		return none
	}
	told, err := none, ctx.Err()
	if err == nil {
		told, err = x.askState(ctx, rt, h.s.c)
	}
	switch {
	case err == nil:
		return told
	case ctx.Err() != nil:
		h.spared.Add(1)
	default:
		x.mu.Lock()
		x.report(p, forState, err)
		x.mu.Unlock()
		h.mute.Add(1)
	}
	return none
}

func (x *Exchange) lastHolder() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last
}

// take gets the block from a peer and keeps it. The error matches [ipfs.ErrNotFound] when
// the peer does not have it, and has not said that it has.
func (x *Exchange) take(ctx context.Context, h *hunt, from claim) (data []byte, err error) {
	h.s.takes.Add(1)
	defer h.s.takes.Add(-1)
	c, p := h.s.c, from.p
	x.mu.Lock()
	rt := p.rt
	x.mu.Unlock()
	if rt == nil {
		return nil, fmt.Errorf("%w: peer %s has gone", ipfs.ErrUnavailable, p.id)
	}
	select {
	case p.taking <- struct{}{}:
		defer func() { <-p.taking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := time.Now()
	r := request{root: c, cids: []cid.Cid{c}, from: p, shares: true, came: func(int) { h.s.came.Store(true) }, yield: func(_ cid.Cid, block []byte) error {
		data = block
		return nil
	}}
	err = x.ask(ctx, rt, &r)
	if data != nil {
		x.keep(c, data)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil && data == nil && (from.told == holds || from.told == some) {
		err = errBroken
	}
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
