package exchange

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
)

// pick is the choice of whom to ask for the blocks of one job, at one moment.
type pick struct {
	x   *Exchange
	j   *job
	now time.Time

	holders  []*peer  // that can be asked
	partial  []*peer  // that have a part
	fetchers []*peer  // that are getting it, and can be asked to get a block
	seeds    []uint64 // of fetchers, for the choice of a home
	self     uint64
	pending  bool // it is not known yet what some have
	soon     bool // some who may have it cannot be asked right now, or have yet to tell

	batches []*batch // being made
}

func (x *Exchange) pick(j *job, now time.Time) *pick {
	s := &pick{x: x, j: j, now: now, self: seed(x.net.Self())}
	for _, p := range x.peers {
		v := j.view(p)
		switch {
		case p.recovers(now):
			s.soon = s.soon || v.state != none || v.at.IsZero()
		case !p.usable(now):
		case v.at.IsZero():
			s.pending = s.pending || now.Sub(j.began) < settleTime
			s.soon = true
		case v.state == holds:
			s.holders = append(s.holders, p)
		case v.state == fetching:
			s.fetchers = append(s.fetchers, p)
			s.seeds = append(s.seeds, seed(p.id))
		case v.state == some:
			s.partial = append(s.partial, p)
		}
	}
	return s
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
// as far as they know of each other.
func (s *pick) home(c cid.Cid) (home *peer) {
	hash := c.Hash()
	if len(hash) < 8 {
		return nil
	}
	block := binary.BigEndian.Uint64(hash[len(hash)-8:])
	best := mix(s.self ^ block)
	for i, p := range s.fetchers {
		if rank := mix(s.seeds[i] ^ block); rank > best {
			home, best = p, rank
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

// route tells whom to ask for a block now.
func (s *pick) route(b *block) (p *peer, lane int, v verdict) {
	if !b.passed && !b.direct {
		// Until it is known who else fetches the file, who is its home is not.
		if s.pending {
			return nil, 0, askLater
		}
		if home := s.home(b.cid); home != nil && !b.lacks(home, relay) {
			return s.best(b, relay, home)
		}
	}
	if p, lane, v = s.best(b, plain, s.holders...); v != nobody {
		return p, lane, v
	}
	if s.pending {
		return nil, 0, askLater
	}
	if p, lane, v = s.best(b, plain, s.partial...); v != nobody {
		return p, lane, v
	}
	lane = relay
	if b.passed || len(b.asked) > 0 {
		lane = plain
	}
	if p, lane, v = s.best(b, lane, s.fetchers...); v != nobody {
		return p, lane, v
	}
	if !s.now.Before(s.x.others.rest) {
		if p, lane, v = s.best(b, plain, s.x.others); v != nobody {
			return p, lane, v
		}
	}
	if s.soon || len(b.asked) > 0 {
		return nil, 0, askLater
	}
	return nil, 0, nobody
}

// best gives that of some peers, which have not said that they lack the block,
// that will have sent it first.
func (s *pick) best(b *block, lane int, from ...*peer) (p *peer, _ int, v verdict) {
	var least float64
	for _, q := range from {
		if b.lacks(q, lane) || slices.Contains(b.asked, lack{q, lane}) {
			continue
		}
		if v == nobody {
			v = askLater
		}
		filling := s.filling(q, lane)
		if filling == nil && !q.lanes[lane].free() {
			continue
		}
		var more int64
		if filling != nil {
			more = filling.bytes
		}
		if load := q.lanes[lane].load(more); v != askNow || load < least {
			p, v, least = q, askNow, load
		}
	}
	return p, lane, v
}
