package exchange

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// block is a block of one or more jobs; all of it is guarded by the exchange.
type block struct {
	cid    cid.Cid
	size   int64  // bytes that it is taken for
	jobs   []*job // that it belongs to, never empty
	leaves []int  // its number among the leaves of each of jobs; -1 for a node above them
	pos    int    // in the order of need of the first of jobs

	here   bool     // it was put into the store
	urgent bool     // it is in jobs[0].urgent
	asked  []*batch // requests for it under way
	// direct has holders asked first: for what is needed before anything else,
	// and what its home does not give in time.
	direct bool
	// late has it asked of a second peer beside the one that is to send it.
	late bool
	// passed says that another waits for this node to get it: so it is got by way of its
	// home alone, which is nearer to a holder, or comes later in an order of all, and
	// there is no circle.
	passed  bool
	tried   time.Time // when somebody was first asked; zero since it came, or was given up
	first   time.Time // the same, but that it stays as long as it is asked for again
	ended   time.Time // when a request for it last ended without it
	lacking []lack    // who did not give it
	retry   time.Time // nobody is asked before

	waits []*wait   // for it
	since time.Time // of the first of these
}

// leaf gives its number among the leaves of a job's DAG; -1 for none.
func (b *block) leaf(j *job) int {
	for i, other := range b.jobs {
		if other == j {
			return b.leaves[i]
		}
	}
	return -1
}

// asks tells whether a request of one kind to a peer is under way.
func (b *block) asks(p *peer, lane int) bool {
	return slices.ContainsFunc(b.asked, func(t *batch) bool { return t.p == p && t.lane == lane })
}

// asksAny tells whether a request of any kind to a peer is under way.
func (b *block) asksAny(p *peer) bool {
	return slices.ContainsFunc(b.asked, func(t *batch) bool { return t.p == p })
}

// isHere notes whether the block is in the store.
func (b *block) isHere(here bool) {
	if b.here == here {
		return
	}
	b.here = here
	for i, j := range b.jobs {
		leaf := b.leaves[i]
		switch {
		case here:
			j.got++
		default:
			j.got--
		}
		if leaf >= 0 && here {
			j.has = j.has.set(leaf)
		} else {
			j.has.clear(leaf)
		}
	}
}

// running counts the requests under way in one kind of lane.
func (b *block) running(lane int) (n int) {
	for _, a := range b.asked {
		if a.lane == lane {
			n++
		}
	}
	return n
}

// lack notes that a peer did not give a block, or could not get it, or was asked.
type lack struct {
	p      *peer
	lane   int
	failed bool // its answer did not come to an end, which says nothing of what it has
}

// lacks tells whether a peer has not given the block when it was asked for it.
func (b *block) lacks(p *peer, lane int) bool {
	return slices.ContainsFunc(b.lacking, func(l lack) bool { return l.p == p && l.lane == lane })
}

// again has all be asked again for the block when one of them failed that is still
// connected; false when there is none.
func (b *block) again(now time.Time) bool {
	failed := slices.ContainsFunc(b.lacking, func(l lack) bool {
		return l.failed && l.p.rt != nil && !now.Before(l.p.banned)
	})
	if failed {
		b.lacking = nil
	}
	return failed
}

// wait is a reader that waits for a block.
type wait struct {
	b    *block
	ch   chan result // takes one
	need need
}

// need is how pressing a wait is: in this order blocks are asked for.
type need int

const (
	atOnce need = iota // for a small part of a file, or to know what there is of it
	ahead              // for who reads much of a file, with what is read ahead
	byPeer             // for a peer that waits
)

type result struct {
	data []byte
	err  error
}

// await waits for a block of a job. The wait
// must be left. The error is errNoJob when it belongs to none, errHere when it
// came meanwhile.
func (x *Exchange) await(c cid.Cid, need need) (*wait, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ctx.Err() != nil {
		return nil, errClosed
	}
	b := x.blocks[string(c.Hash())]
	if b == nil {
		return nil, errNoJob
	}
	if b.here && x.store.Has(x.ctx, c) {
		return nil, errHere
	}
	b.isHere(false)
	if err := b.jobs[0].hopeless; err != nil && need != byPeer {
		return nil, err
	}
	return x.want(b, need), nil
}

var (
	errNoJob = fmt.Errorf("%w: the block is not being fetched", ipfs.ErrNotFound)
	errHere  = errors.New("the block is in the store")
)

// want has a reader wait for b and moves the block to the front; x.mu is held.
func (x *Exchange) want(b *block, need need) *wait {
	w := &wait{b: b, ch: make(chan result, 1), need: need}
	if len(b.waits) == 0 {
		b.since = time.Now()
	}
	b.waits = append(b.waits, w)
	b.jobs[0].urge(b)
	switch need {
	case byPeer:
		b.passed = true
	case ahead:
		b.jobs[0].cursor = b.pos
	case atOnce: // of which no more is going to be read
	}
	x.rouse()
	return w
}

// leave ends a wait.
func (x *Exchange) leave(w *wait) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, other := range w.b.waits {
		if other == w {
			w.b.waits = append(w.b.waits[:i], w.b.waits[i+1:]...)
			return
		}
	}
}

// settle gives the outcome to all who wait; x.mu is held.
func (b *block) settle(r result) {
	for _, w := range b.waits {
		w.ch <- r
	}
	b.waits = nil
}

// refuse tells peers that wait for b that it cannot be got for them; x.mu is
// held.
func (b *block) refuse() {
	left := b.waits[:0]
	for _, w := range b.waits {
		if w.need == byPeer {
			w.ch <- result{err: errMissing}
		} else {
			left = append(left, w)
		}
	}
	clear(b.waits[len(left):])
	b.waits, b.passed = left, false
}

// fetched gets a block of a job; the error matches errNoJob when it belongs to
// none.
func (x *Exchange) fetched(ctx context.Context, c cid.Cid, need need) ([]byte, error) {
	w, err := x.await(c, need)
	if errors.Is(err, errHere) {
		return x.local(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	defer x.leave(w)
	t := x.teller(ctx, func() bool { return true }) // whether there is hope, the job knows
	defer t.stop()
	for {
		select {
		case r := <-w.ch:
			return r.data, r.err
		case <-t.tick:
			t.tell()
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-x.ctx.Done():
			return nil, errClosed
		}
	}
}

// arrived takes a block that a peer has sent, checked.
func (x *Exchange) arrived(b *block, data []byte, from *peer) {
	kept := x.keep(b.cid, data)
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if !kept { // what nobody waits for would be fetched in vain
		x.pausedTo = now.Add(pauseUnkept)
	}
	x.in(from, len(data))
	if kept {
		b.isHere(true)
	}
	for _, j := range b.jobs {
		j.progress, j.hopeless = now, nil
		if j.complete() {
			x.gate.forget(string(j.root.Hash()))
		}
	}
	b.lacking, b.direct, b.late, b.passed, b.tried, b.first = nil, false, false, false, time.Time{}, time.Time{}
	for _, t := range b.asked {
		if t.left--; t.left == 0 && t.p != from && t.p != x.others {
			t.cancel(errLate)
		}
	}
	b.settle(result{data: data})
}

// errLate is why a request ends all whose blocks others have sent meanwhile.
var errLate = fmt.Errorf("%w: others were faster", ipfs.ErrUnavailable)

// errOverdue is why a request ends that goes on, but for much longer than it takes others.
var errOverdue = fmt.Errorf("%w: it takes much longer than others", ipfs.ErrUnavailable)

// pauseUnkept is how long blocks are fetched only as they are waited for, after
// one could not be kept.
const pauseUnkept = 30 * time.Second
