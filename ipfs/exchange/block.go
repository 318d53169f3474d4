package exchange

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// block is a block of one or more jobs; all of it is guarded by the exchange.
type block struct {
	cid  cid.Cid
	size int64  // bytes as its parent states them; 0 for unknown
	jobs []*job // that it belongs to, never empty
	pos  int    // in the order of need of the first of jobs

	here    bool // it was put into the store
	urgent  bool // it is in jobs[0].urgent
	running int  // requests for it under way
	relayed bool // a peer was asked to get it, in the last of these
	// direct has holders asked first: for what is needed before anything else,
	// and what its home does not give in time.
	direct bool
	// passed keeps it from being got by way of others, because another waits
	// for this node to get it: so there is no circle.
	passed  bool
	lacking []lack    // who did not give it
	retry   time.Time // nobody is asked before

	waits []*wait   // for it
	since time.Time // of the first of these
}

// lack notes that a peer did not give a block, or could not get it.
type lack struct {
	p    *peer
	lane int
}

func (b *block) lacks(p *peer, lane int) bool {
	for _, l := range b.lacking {
		if l.p == p && l.lane == lane {
			return true
		}
	}
	return false
}

// wait is a reader that waits for a block.
type wait struct {
	b  *block
	ch chan result // takes one
}

type result struct {
	data []byte
	err  error
}

// await waits for a block of a job; with passed on behalf of a peer. The wait
// must be left. The error is errNoJob when it belongs to none, errHere when it
// came meanwhile.
func (x *Exchange) await(c cid.Cid, passed bool) (*wait, error) {
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
	if b.here {
		b.forget()
	}
	return x.want(b, passed), nil
}

var (
	errNoJob = fmt.Errorf("%w: the block is not being fetched", ipfs.ErrNotFound)
	errHere  = errors.New("the block is in the store")
)

// want has a reader wait for b and moves the block to the front; x.mu is held.
func (x *Exchange) want(b *block, passed bool) *wait {
	w := &wait{b: b, ch: make(chan result, 1)}
	if len(b.waits) == 0 {
		b.since = time.Now()
	}
	b.waits = append(b.waits, w)
	b.jobs[0].urge(b)
	if passed {
		b.passed = true
	} else {
		b.jobs[0].cursor = b.pos
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

// forget notes that the store has dropped a block.
func (b *block) forget() {
	b.here = false
	for _, j := range b.jobs {
		j.got--
	}
}

// settle gives the outcome to all who wait; x.mu is held.
func (b *block) settle(r result) {
	for _, w := range b.waits {
		w.ch <- r
	}
	b.waits = nil
}

// fetched gets a block of a job; the error matches errNoJob when it belongs to
// none.
func (x *Exchange) fetched(ctx context.Context, c cid.Cid) ([]byte, error) {
	w, err := x.await(c, false)
	if errors.Is(err, errHere) {
		return x.local(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	defer x.leave(w)
	select {
	case r := <-w.ch:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-x.ctx.Done():
		return nil, errClosed
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
	from.traffic.BlocksIn++
	from.traffic.BytesIn += int64(len(data))
	if kept && !b.here {
		b.here = true
		for _, j := range b.jobs {
			j.got++
		}
	}
	for _, j := range b.jobs {
		j.progress = now
		if len(b.waits) > 0 {
			j.served = now
		}
	}
	b.lacking, b.direct, b.passed = nil, false, false
	b.settle(result{data: data})
}

// pauseUnkept is how long blocks are fetched only as they are waited for, after
// one could not be kept.
const pauseUnkept = 30 * time.Second
