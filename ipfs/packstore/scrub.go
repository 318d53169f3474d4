package packstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// ScrubOptions say how a store is read in the background.
type ScrubOptions struct {
	// Every is the time in which each pack is read once; 0 for Rate alone.
	Every time.Duration
	// Rate is how many bytes are read in a second: at most, where Every is given
	// as well. One of the two is needed.
	Rate int64
	// Damaged is told of each pack in which damage was found; may be nil.
	Damaged func(Damage)
}

// Damage is what is not right in a pack.
type Damage struct {
	Pack   string      // path of the file
	Blocks []cid.Cid   // that are not right and that roots need; the first 100
	Roots  []ipfs.Root // that need one of them; none when it is garbage
}

// ScrubStats tell how far a scrub is.
type ScrubStats struct {
	Bytes   int64     // read since it began
	Packs   int64     // read whole since it began
	Damaged int       // packs in which damage was found when they were read last
	Oldest  time.Time // when the pack was read, or written, that was so for the longest time; zero when one never was
}

// Scrub reads all packs again and again, to find damage before it is needed. What it
// has read is remembered on disk, so that it goes on there after a restart, and
// publications need not read it.
type Scrub struct {
	s *Store
	o ScrubOptions

	mu    sync.Mutex
	stats ScrubStats

	tried map[packID]attempt // of packs of which nothing is remembered on disk
}

// attempt is when a pack was read, how the file was then, and whether it was right.
type attempt struct {
	check
	whole bool
}

// Least and most of what a scrub does.
const (
	leastRate    = 1 << 20 // bytes in a second, so that a small store is done soon
	leastPause   = time.Second
	longestPause = time.Minute // in which packs are seen that are new
	mostDamaged  = 100         // blocks that are named
)

// NewScrub makes a Scrub. The error tells of options that make no sense.
func (s *Store) NewScrub(o ScrubOptions) (*Scrub, error) {
	if o.Every < 0 || o.Rate < 0 || o.Every == 0 && o.Rate == 0 {
		return nil, fmt.Errorf("a scrub every %s with %d bytes in a second is none", o.Every, o.Rate)
	}
	if o.Damaged == nil {
		o.Damaged = func(Damage) {}
	}
	return &Scrub{s: s, o: o, tried: map[packID]attempt{}}, nil
}

// Stats tells how far it is.
func (s *Scrub) Stats() ScrubStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Run reads until ctx ends, whose error it gives, or until the store cannot be
// read at all.
func (s *Scrub) Run(ctx context.Context) error {
	for {
		next, err := s.plan()
		if err != nil {
			return fmt.Errorf("scrubbing %s: %w", s.s, err)
		}
		if next.wait > 0 {
			err = pause(ctx, min(next.wait, longestPause))
		} else {
			err = s.read(ctx, next)
		}
		if err != nil {
			return err
		}
	}
}

// planned is the pack to read next, or how long to wait for one.
type planned struct {
	id   packID
	rate int64
	wait time.Duration
}

// plan finds the pack that was not read for the longest time.
func (s *Scrub) plan() (planned, error) {
	ids, err := s.s.dir.packIDs()
	if err != nil {
		return planned{}, err
	}
	known := s.s.dir.readChecks()
	maps.DeleteFunc(s.tried, func(id packID, _ attempt) bool { return !slices.Contains(ids, id) })
	var total int64
	var first planned
	oldest := int64(-1)
	damaged := 0
	for _, id := range ids {
		state, err := s.s.dir.packState(id)
		if err != nil { // it has gone
			continue
		}
		total += state.size
		at := int64(0)
		if c := known[id]; c.state == state {
			at = c.at
		} else if a := s.tried[id]; a.state == state {
			at = a.at
			if !a.whole {
				damaged++
			}
		}
		if oldest < 0 || at < oldest {
			oldest, first.id = at, id
		}
	}
	s.mu.Lock()
	s.stats.Damaged, s.stats.Oldest = damaged, time.Time{}
	if oldest > 0 {
		s.stats.Oldest = time.Unix(0, oldest)
	}
	s.mu.Unlock()
	if oldest < 0 {
		first.wait = longestPause
		return first, nil
	}
	every, rate := s.pace(total)
	first.rate = rate
	if due := time.Unix(0, oldest).Add(every); oldest > 0 {
		first.wait = max(0, min(time.Until(due), every)) // of a clock that was set back no more than that
	}
	return first, nil
}

// pace gives the time after which a pack is read again, and how fast packs are read.
func (s *Scrub) pace(total int64) (every time.Duration, rate int64) {
	every, rate = s.o.Every, s.o.Rate
	if every == 0 {
		return max(leastPause, time.Duration(float64(total)/float64(rate)*float64(time.Second))), rate
	}
	needed := max(leastRate, int64(float64(total)/every.Seconds()*1.25)) // and time to spare
	if rate == 0 || needed < rate {
		rate = needed
	}
	return every, rate
}

// read reads one pack.
func (s *Scrub) read(ctx context.Context, p planned) error {
	pace := &pacer{rate: p.rate, begun: time.Now()}
	state, err := s.s.dir.packState(p.id)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	at := time.Now().UnixNano()
	c, whole, err := s.s.readPack(ctx, p.id, func(n int) error {
		s.mu.Lock()
		s.stats.Bytes += int64(n)
		s.mu.Unlock()
		return pace.wait(ctx, n)
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrNotExist):
		return nil
	case whole:
		s.mu.Lock()
		s.stats.Packs++
		s.mu.Unlock()
		s.tried[p.id] = attempt{c, true}
		_ = s.s.note(ctx, checks{p.id: c}, false) // on a full or read-only disk another scrub reads it again
		return nil
	}
	s.tried[p.id] = attempt{check{state, at}, false}
	found := s.s.damage(ctx, p.id, pace)
	if ctx.Err() == nil {
		s.o.Damaged(found)
	}
	return ctx.Err()
}

// damage finds out what is not right in a pack and what needs it.
func (s *Store) damage(ctx context.Context, id packID, pace *pacer) Damage {
	d := Damage{Pack: s.dir.pack(id)}
	roots, _ := s.Roots(ctx)
	known := map[cid.Cid]bool{} // whether a block of the pack is right
	for _, root := range roots {
		bad := false
		err := ipfs.Blocks(ctx, s, root.CID, 0, func(c cid.Cid, _ int64) bool {
			right, seen := known[c]
			if !seen {
				right = s.rightIn(ctx, id, c, pace)
				known[c] = right
			}
			if !right {
				bad = true
				if !slices.Contains(d.Blocks, c) && len(d.Blocks) < mostDamaged {
					d.Blocks = append(d.Blocks, c)
				}
			}
			return ctx.Err() == nil
		})
		if bad || err != nil { // below a node that cannot be read there may be more
			d.Roots = append(d.Roots, root)
		}
	}
	return d
}

// rightIn tells whether a block is right in a pack, or is not in it.
func (s *Store) rightIn(ctx context.Context, id packID, c cid.Cid, pace *pacer) bool {
	right := true
	v, err := s.index.view()
	if err != nil {
		return true
	}
	for _, seg := range v.segs {
		pos, e, err := seg.find(keyOf(c))
		if err != nil || pos < 0 || e.pack != id {
			continue
		}
		data, err := s.packs.section(c, e.location, func(n int) []byte { return make([]byte, n) })
		if err == nil {
			err = ipfs.VerifyBlock(c, data)
		}
		right = right && err == nil
		_ = pace.wait(ctx, int(e.size)) // whoever walks sees that ctx has ended
	}
	return right
}

// pacer holds reading to so many bytes in a second.
type pacer struct {
	rate  int64
	begun time.Time
	read  int64
}

// wait is told of n bytes that were read, and waits until that many may have been.
func (p *pacer) wait(ctx context.Context, n int) error {
	p.read += int64(n)
	due := p.begun.Add(time.Duration(float64(p.read) / float64(p.rate) * float64(time.Second)))
	return pause(ctx, time.Until(due))
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
