package exchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// batch is a request for some blocks of one job.
type batch struct {
	x      *Exchange
	j      *job
	ctx    context.Context // ends with the job, or when nothing of it is wanted any more
	cancel context.CancelCauseFunc
	left   int // of blocks, that have not come from anybody
	p      *peer
	rt     http.RoundTripper
	lane   int
	blocks []*block
	bytes  int64           // as parents state them
	came   map[*block]bool // sent by the peer
	got    int64           // bytes of these
	began  time.Time
	moved  atomic.Int64 // it has sent something; Unix nanoseconds
}

const (
	waveTime    = 250 * time.Millisecond // within which blocks count as asked for at once
	maxScan     = 4096                   // missing blocks that are looked at in one pass
	unknownSize = 128 << 10              // bytes that a block of unknown size is taken for
)

// first puts the block that has been waited for longest into a batch.
func (s *pick) first() {
	j, paused := s.j, s.paused()
	j.urgent = slices.DeleteFunc(j.urgent, func(b *block) bool {
		b.urgent = !b.here && (len(b.waits) > 0 || b.passed && !paused) && b.belongs(j)
		return !b.urgent
	})
	slices.SortStableFunc(j.urgent, func(a, b *block) int {
		return cmp.Or(cmp.Compare(a.need(), b.need()), a.wave().Compare(b.wave()), cmp.Compare(a.pos, b.pos))
	})
	s.lost = s.scan(nil, j.urgent[:min(len(j.urgent), 1)])
}

// urgent puts the others that are waited for into batches.
func (s *pick) urgent() { s.lost = s.scan(s.lost, s.j.urgent[min(len(s.j.urgent), 1):]) }

// wave is about when the block was first waited for: what a reader asks for at once, for it
// reads ahead, is got in the order of the file.
func (b *block) wave() time.Time { return b.since.Truncate(waveTime) }

// need is the most pressing one of those who wait for the block.
func (b *block) need() need {
	most := byPeer
	for _, w := range b.waits {
		most = min(most, w.need)
	}
	return most
}

// presses tells whether it is asked for though much is under way: what that was asked of
// may stand still, and this cannot wait for it.
func (b *block) presses() bool { return len(b.waits) > 0 && (b.late || b.direct) }

// rest puts others into batches, and asks for all.
func (s *pick) rest() {
	j := s.j
	if !s.paused() {
		at := min(j.cursor, len(j.todo))
		s.lost = s.scan(s.lost, j.todo[at:])
		s.lost = s.scan(s.lost, j.todo[:at])
	}
	for _, t := range s.batches {
		s.x.launch(t)
	}
	s.x.miss(s, s.lost)
}

// paused tells whether only what is waited for is fetched, since nothing can be kept.
func (s *pick) paused() bool { return s.now.Before(s.x.pausedTo) }

// belongs tells whether j is the job that has the block among its urgent ones.
func (b *block) belongs(j *job) bool { return len(b.jobs) > 0 && b.jobs[0] == j }

// scan puts missing blocks into batches and adds those that nobody has to lost.
func (s *pick) scan(lost []*block, blocks []*block) []*block {
	seen := 0
	for _, b := range blocks {
		if seen >= maxScan {
			break
		}
		if !b.missing(s.now) || s.full() && !b.presses() {
			continue
		}
		seen++
		p, lane, v := s.route(b)
		switch v {
		case askNow:
			s.put(b, p, lane)
		case nobody:
			lost = append(lost, b)
		}
	}
	return lost
}

// missing tells whether a block is to be asked for. One that a peer was asked
// to get is asked for directly as well when it is needed so; one that is late of a
// second peer, and of a third when that did not help.
func (b *block) missing(now time.Time) bool {
	if b.here || now.Before(b.retry) {
		return false
	}
	switch b.running(plain) {
	case 0:
		return len(b.asked) == 0 || b.direct || b.late && len(b.asked) == 1
	case 1:
		return b.late && len(b.asked) == 1 || b.direct && len(b.asked) == 2
	}
	return b.direct && len(b.asked) == 2
}

// full tells that no more may be asked for at once.
func (s *pick) full() bool {
	room := s.x.limits.InFlight / 2
	return s.x.inFlight[plain] >= room && s.x.inFlight[relay] >= room
}

// filling gives the batch for a lane that takes more blocks; nil when there is
// none.
func (s *pick) filling(p *peer, lane int) *batch {
	for _, t := range s.batches {
		if t.p == p && t.lane == lane {
			return t
		}
	}
	return nil
}

// room is how many bytes may be asked for in one kind of lane: a half of all, and of who
// presses as much again.
func (s *pick) room(b *block) int64 {
	if b.presses() {
		return s.x.limits.InFlight
	}
	return s.x.limits.InFlight / 2
}

// put puts a block into a batch and starts that when it is full.
func (s *pick) put(b *block, p *peer, lane int) {
	if s.x.inFlight[lane] >= s.room(b) {
		return
	}
	t := s.filling(p, lane)
	if t == nil {
		t = &batch{x: s.x, j: s.j, p: p, rt: p.rt, lane: lane, began: s.now}
		t.ctx, t.cancel = context.WithCancelCause(s.j.ctx)
		s.batches = append(s.batches, t)
		p.lanes[lane].running++
	}
	b.asked = append(b.asked, t)
	if b.tried.IsZero() {
		b.tried = s.now
	}
	if b.first.IsZero() {
		b.first = s.now
	}
	t.blocks, t.left = append(t.blocks, b), t.left+1
	t.bytes += b.size
	s.j.served += b.size
	s.x.inFlight[lane] += b.size
	if t.bytes >= p.lanes[lane].batch() || len(t.blocks) >= maxBlocks {
		s.x.launch(t)
		for i, other := range s.batches {
			if other == t {
				s.batches = append(s.batches[:i], s.batches[i+1:]...)
				break
			}
		}
	}
}

// launch makes the request of a batch; x.mu is held.
func (x *Exchange) launch(t *batch) {
	l := &t.p.lanes[t.lane]
	l.bytes, l.under = l.bytes+t.bytes, append(l.under, t)
	if !x.task(func() { x.run(t) }) {
		x.finish(t, errClosed)
	}
}

// run makes the request of a batch and takes the blocks.
func (x *Exchange) run(t *batch) {
	byKey := make(map[string]*block, len(t.blocks))
	cids := make([]cid.Cid, len(t.blocks))
	for i, b := range t.blocks {
		byKey[string(b.cid.Hash())], cids[i] = b, b.cid
	}
	t.came = make(map[*block]bool, len(t.blocks))
	yield := func(c cid.Cid, data []byte) error {
		b := byKey[string(c.Hash())]
		if b == nil {
			return fmt.Errorf("%w: block %s was not asked for", ipfs.ErrCorrupt, c)
		}
		t.came[b], t.got = true, t.got+int64(len(data))
		x.arrived(b, data, t.p)
		return nil
	}
	var err error
	var says state
	if t.p == x.others {
		err = x.askOthers(t.ctx, cids, yield)
	} else {
		r := request{root: t.j.root, cids: cids, relay: t.lane == relay, fetching: true, yield: yield, moved: t.moves, from: t.p}
		err = x.ask(t.ctx, t.rt, &r)
		says = r.state
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if v := t.j.view(t.p); says != "" && says != v.state {
		t.j.gains(t.p, v, told{state: says})
		v.state, v.at = says, time.Time{} // and which parts is asked
	}
	if cause := context.Cause(t.ctx); err != nil && (errors.Is(cause, errLate) || errors.Is(cause, errOverdue)) {
		err = cause
	}
	x.finish(t, err)
	x.rouse()
}

// moves notes that the peer has sent something.
func (t *batch) moves(bytes bool) {
	now := time.Now().UnixNano()
	t.moved.Store(now)
	if bytes {
		t.j.moved.Store(now)
	}
}

// hope tells when there was last a reason to think that it brings something: when it was
// made, of a peer that sends what it is asked for, if slowly, and when that moved.
func (t *batch) hope() time.Time {
	moved := time.Unix(0, t.moved.Load())
	if t.p.failed() > 0 && !t.p.slower {
		return moved
	}
	return latest(t.began, moved)
}

// finish takes the outcome of a batch; x.mu is held. Blocks that the peer left
// out will be asked of others.
func (x *Exchange) finish(t *batch, err error) {
	l := &t.p.lanes[t.lane]
	onTime := errors.Is(err, errLate) && !x.isOverdue(t)
	l.running--
	l.bytes -= t.bytes
	x.inFlight[t.lane] -= t.bytes
	l.under = slices.DeleteFunc(l.under, func(other *batch) bool { return other == t })
	l.measured(t.got, time.Since(t.began))
	t.cancel(nil)
	ended := t.j.ctx.Err() != nil
	if !ended && !onTime {
		x.judge(t, err)
	}
	for _, b := range t.blocks {
		if i := slices.Index(b.asked, t); i >= 0 {
			b.asked = slices.Delete(b.asked, i, i+1)
		}
		switch {
		case ended || t.came[b]:
		case errors.Is(err, errBusy): // it is as if it had not been asked
			if len(b.asked)+len(b.lacking) == 0 {
				b.tried = time.Time{}
			}
		default:
			b.ended = time.Now()
			b.lacking = append(b.lacking, lack{t.p, t.lane, err != nil})
		}
	}
}

// judge takes what the outcome of a batch says of its peer: who gives nothing of what it
// says that it has is not believed, and has failed.
func (x *Exchange) judge(t *batch, err error) {
	if err == nil && t.got == 0 && t.p != x.others && t.lane == plain {
		v := t.j.view(t.p)
		claimed := v.state == holds
		for _, b := range t.blocks {
			claimed = claimed || v.has.bit(b.leaf(t.j))
		}
		if !claimed {
			return
		}
		err = errBroken
		if v.state == holds {
			v.state = some
		}
	}
	if err != nil && t.got == 0 && !errors.Is(err, errBusy) {
		t.p.lanes[t.lane].rate = empty
		v := t.j.view(t.p)
		v.has, v.gets = nil, nil
	}
	if err == nil && t.got == 0 {
		return // it was not said to have anything
	}
	x.report(t.p, forBlocks, err)
}

// isOverdue tells whether a request has taken longer than those to the quickest of those
// who have all: who is as slow as they are has not failed when others are faster for once.
func (x *Exchange) isOverdue(t *batch) bool {
	now := time.Now()
	return now.Sub(t.began) > x.patience(t.j, now)[t.lane]
}

// othersStall is how long [Network.Blocks] may take for the next block.
const othersStall = 10 * time.Second

// askOthers gets blocks from nodes that do not speak the protocol. What does not
// come in time is left out.
func (x *Exchange) askOthers(ctx context.Context, cids []cid.Cid, yield func(cid.Cid, []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stall := time.AfterFunc(othersStall, cancel)
	defer stall.Stop()
	err := x.net.Blocks(ctx, cids, func(c cid.Cid, data []byte) error {
		stall.Reset(othersStall)
		return yield(c, data)
	})
	if errors.Is(err, ipfs.ErrNotFound) || ctx.Err() != nil {
		return nil
	}
	return err
}
