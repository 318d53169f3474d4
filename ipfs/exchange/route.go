package exchange

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"
)

// pick is the choice of whom to ask for the blocks of one job, at one moment.
type pick struct {
	x   *Exchange
	j   *job
	now time.Time

	copies   []*peer   // that have all of it, from others, and can be asked
	owners   []*peer   // that have all of it as their own, and can be asked
	partial  []*peer   // that have a part
	fetchers []fetcher // that are getting it, and can be asked to get a block
	self     uint64
	pending  bool             // it is not known yet what some have
	soon     bool             // some who may have it cannot be asked right now, or have yet to tell
	resting  bool             // so can one that holds it
	spared   bool             // who owns it is not asked for what a copy has
	crowded  bool             // who may have a block has too much to do
	patience [2]time.Duration // for what goes on coming

	lost    []*block // that nobody has
	among   []*peer  // is used again and again
	batches []*batch // being made
}

// fetcher is a peer that gets the same DAG.
type fetcher struct {
	*peer
	*view
	seed uint64 // for the choice of a home
}

func (x *Exchange) pick(j *job, now time.Time) *pick {
	s := &pick{x: x, j: j, now: now, self: seed(x.net.Self())}
	for _, p := range x.peers {
		v := j.view(p)
		if unknown := v.at.IsZero() && v.state != holds; unknown && p.usable(now) {
			s.pending, s.soon = s.pending || now.Before(j.settled), true
		}
		switch {
		case p.recovers(now):
			s.soon = s.soon || v.state != none || v.at.IsZero()
			s.resting = s.resting || v.state == holds && p.isBusy(now)
		case !p.usable(now):
		case v.state == holds && v.own:
			s.owners = append(s.owners, p)
		case v.state == holds:
			s.copies = append(s.copies, p)
		case v.state == fetching:
			s.fetchers = append(s.fetchers, fetcher{p, v, p.seed})
		case v.state == some:
			s.partial = append(s.partial, p)
		}
	}
	s.spared, s.patience = s.spares(), x.patience(j, now)
	j.hops = s.hops()
	return s
}

// hops counts the connections from here to a node that has all of the DAG; 0 when
// nobody knows one.
func (s *pick) hops() int {
	if len(s.owners)+len(s.copies) > 0 || s.resting {
		return 1
	}
	least := maxHops
	for _, f := range s.fetchers {
		if f.hops > 0 {
			least = min(least, f.hops)
		}
	}
	return (least + 1) % (maxHops + 1)
}

// unknownRate is what is taken for the speed of an owner who was not measured yet, in
// bytes a second.
const unknownRate = 8 << 20

// sparedFor is how long who owns a DAG is spared for copies of which nothing has come yet.
const sparedFor = time.Second

// spares tells whether the copies there are do without those who own the DAG: unless
// they are slow, of which there is no sign before something has come from one. That is
// waited for a moment, once. Then who owns it is asked as well, and what comes from there
// shows which of them is the slow one.
func (s *pick) spares() bool {
	var copies, owners float64
	for _, p := range s.copies {
		copies = max(copies, p.lanes[plain].rate)
	}
	if len(s.copies) > 0 && copies == 0 {
		if s.j.unmeasured.IsZero() {
			s.j.unmeasured = s.now
		}
		return s.now.Sub(s.j.unmeasured) < sparedFor
	}
	for _, p := range s.owners {
		owners = max(owners, p.lanes[plain].rate)
	}
	if owners == 0 {
		owners = unknownRate
	}
	return copies >= owners/2
}

// seed is a peer's part in the choice of a home.
func seed(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id)) // a hash never fails
	return mix(h.Sum64())
}

// mix is the finalizer of splitmix64: every bit of v changes half of the result.
func mix(v uint64) uint64 {
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

// home gives the peer that gets a block from a holder and passes it on to all
// others that fetch this DAG; nil when that is this node. All choose the same,
// as far as they know of each other. Who is no nearer to a holder than this node
// is none, nor one that has not given the block.
func (s *pick) home(b *block) (home *peer) {
	hash := b.cid.Hash()
	if len(hash) < 8 {
		return nil
	}
	block := binary.BigEndian.Uint64(hash[len(hash)-8:])
	own := s.j.hops
	var best uint64
	if own == 1 {
		best = mix(s.self ^ block)
	}
	for _, f := range s.fetchers {
		if own != 1 && (f.hops == 0 || own != 0 && f.hops >= own) || b.lacks(f.peer, relay) || b.late && b.asksAny(f.peer) {
			continue
		}
		if rank := mix(f.seed ^ block); rank > best {
			home, best = f.peer, rank
		}
	}
	return home
}

// verdict is what is to happen with a missing block.
type verdict int

const (
	nobody   verdict = iota // has it
	askLater                // those who may have it are busy
	askNow
)

// route tells whom to ask for a block now: who fetches the DAG and has it, or one of many
// copies; who is just getting it; its home; a holder, if this is its home; and at last
// whoever may have it all the same.
func (s *pick) route(b *block) (p *peer, lane int, v verdict) {
	s.crowded = false
	if !b.direct || !b.late { // else they had their time
		if p, lane, v = s.best(b, plain, s.having(b)...); v != nobody {
			return p, lane, v
		}
	}
	if s.pending && !b.direct {
		return nil, 0, askLater // until it is known who else fetches the DAG its home is not
	}
	if !b.direct {
		if p, lane, v = s.best(b, relay, s.getting(b)...); v != nobody {
			return p, lane, v
		}
		if home := s.home(b); home != nil {
			if p, lane, v = s.best(b, relay, home); v != nobody || s.j.hops != 1 {
				return p, lane, v
			}
		}
	}
	if p, lane, v = s.best(b, plain, s.holding(b)...); v != nobody {
		return p, lane, v
	}
	if p, lane, v = s.best(b, plain, s.owners...); v != nobody {
		return p, lane, v
	}
	if s.pending || (s.resting || s.crowded) && !b.late {
		return nil, 0, askLater
	}
	return s.anybody(b)
}

// having are the peers that have a block and fetch the DAG; and the copies, when there
// is one for each who fetches it, so that nobody has to pass on what another can have
// from there as well.
func (s *pick) having(b *block) []*peer {
	s.among = s.among[:0]
	if len(s.copies) > len(s.fetchers) {
		s.among = append(s.among, s.holding(b)...)
	}
	if leaf := b.leaf(s.j); leaf >= 0 {
		for _, f := range s.fetchers {
			if f.has.bit(leaf) {
				s.among = append(s.among, f.peer)
			}
		}
	}
	return s.among
}

// holding are the peers that hold the DAG, those of the owners that are to be spared
// excepted.
func (s *pick) holding(b *block) []*peer {
	if s.spared && len(s.copies) > 0 && !b.late {
		return s.copies
	}
	return slices.Concat(s.copies, s.owners)
}

// getting are the peers that get a block from who has it.
func (s *pick) getting(b *block) []*peer {
	s.among = s.among[:0]
	if leaf := b.leaf(s.j); leaf >= 0 {
		for _, f := range s.fetchers {
			if f.gets.bit(leaf) {
				s.among = append(s.among, f.peer)
			}
		}
	}
	return s.among
}

// anybody gives a peer that may have a block though it has not said so.
func (s *pick) anybody(b *block) (p *peer, lane int, v verdict) {
	if p, lane, v = s.best(b, plain, s.partial...); v != nobody {
		return p, lane, v
	}
	lane = relay
	if b.passed || len(b.asked) > 0 {
		lane = plain
	}
	s.among = s.among[:0]
	for _, f := range s.fetchers {
		s.among = append(s.among, f.peer)
	}
	if p, lane, v = s.best(b, lane, s.among...); v != nobody {
		return p, lane, v
	}
	if !s.now.Before(s.x.others.rest) {
		if p, lane, v = s.best(b, plain, s.x.others); v != nobody {
			return p, lane, v
		}
	}
	if s.soon || s.crowded || len(b.asked) > 0 {
		return nil, 0, askLater
	}
	return nil, 0, nobody
}

// willDo tells whether it is worth while to wait for a place in a lane of a peer that
// has too much to do, rather than to ask who is next. The places of who has failed, and
// of who takes longer than others, are not waited for.
func (s *pick) willDo(p *peer, lane int) bool {
	l := &p.lanes[lane]
	if p.failed() > 0 || l.rate == empty {
		return p.free(lane)
	}
	if lane == relay { // it waits for others itself
		return !l.isClogged(s.now, s.patience[relay])
	}
	return !l.isClogged(s.now, s.x.limits.Stall/2)
}

// best gives that of some peers, which have not said that they lack the block,
// that will have sent it first.
func (s *pick) best(b *block, lane int, from ...*peer) (p *peer, _ int, v verdict) {
	var least float64
	for _, q := range from {
		if b.lacks(q, lane) || b.asks(q, lane) || (b.late || lane == relay) && b.asksAny(q) {
			continue
		}
		filling := s.filling(q, lane)
		if filling != nil || s.willDo(q, lane) {
			v = max(v, askLater)
		} else {
			s.crowded = true
		}
		var more int64
		if filling != nil {
			more = filling.bytes
		}
		if filling == nil && !q.free(lane) || q.lanes[lane].bytes+more > s.x.limits.InFlight/2*3/4 {
			continue
		}
		load := q.lanes[lane].load(more)
		if b.late && q.lanes[plain].rate <= empty { // another trial is not what it needs
			load += maxPatience.Seconds()
		}
		if v != askNow || load < least {
			p, v, least = q, askNow, load
		}
	}
	return p, lane, v
}
