package budget

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/docker/go-units"
)

const (
	// FloorTime is how long work for one origin may stand still while another waits.
	FloorTime = 5 * time.Second
	// shortFloor is the same for who has more than a fair part.
	shortFloor = time.Second
	// pressEvery is how often one who waits has others looked at.
	pressEvery = 250 * time.Millisecond
	// maxWaiting is how many claims on a share wait, of which one origin has
	// waitingEach.
	maxWaiting, waitingEach = 512, 128
	// spared is the part, one in so many, that goes only to who has no more of it:
	// whoever comes next finds some.
	spared = 8
)

// NewShare makes a share of a budget of its own, in whatever unit.
func NewShare(name string, size int64) *Share {
	b := &Budget{total: size, size: size, byOrigin: map[string]int64{}}
	b.Caches = b.share("caches", 0, 0)
	s := b.share(name, size, size)
	s.counted = true
	return s
}

func (b *Budget) share(name string, least, most int64) *Share {
	s := &Share{pool: b, name: name, least: least, most: most, byOrigin: map[string]int64{}, holds: map[*hold]struct{}{}, waiting: map[string]int{}}
	b.shares = append(b.shares, s)
	return s
}

// Share is a part of a budget. It is safe for concurrent use.
type Share struct {
	pool        *Budget
	name        string
	least, most int64 // bytes that are kept for it, and that it may have
	counted     bool  // in another unit than bytes

	// Under pool.mu.
	held     int64
	byOrigin map[string]int64
	holds    map[*hold]struct{}
	claims   []*claim       // that wait, in the order in which they came
	waiting  map[string]int // how many of these each origin has
	refused  int64          // claims that got nothing in time
}

// Holder is for whom something is held.
type Holder struct {
	// Origin is whom a share belongs to; "" for the process itself.
	Origin string
	// Moved tells when the work last went on; nil for what ends by itself.
	Moved func() time.Time
	// Cut ends the work because others wait; it may be called again while the
	// work holds something. nil for what cannot be cut.
	Cut func()
}

type holderKey struct{}

// With has what is taken under ctx held for h.
func With(ctx context.Context, h *Holder) context.Context {
	return context.WithValue(ctx, holderKey{}, h)
}

// OriginOf is the origin of the holder of ctx; "" when there is none.
func OriginOf(ctx context.Context) string { return holderOf(ctx).Origin }

func holderOf(ctx context.Context) *Holder {
	if h, ok := ctx.Value(holderKey{}).(*Holder); ok {
		return h
	}
	return &Holder{}
}

type hold struct {
	*Holder
	n int64
}

type claim struct {
	hold
	granted chan func() // gets the release
}

// Charge takes n bytes for a cache; false when they are not free. See [Budget.Shrinks].
func (s *Share) Charge(n int64) bool { return s.charge(n) == 0 }

// charge is Charge, and tells how many bytes are not free.
func (s *Share) charge(n int64) (lacks int64) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if lacks = max(0, s.held+n-s.most, s.short(hold{&Holder{}, n})); lacks == 0 {
		s.held += n
	}
	return lacks
}

// Refund gives back what was charged.
func (s *Share) Refund(n int64) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.held -= n
	s.pool.serve()
}

// String tells of how much of what, such as "8MiB for manifests being read".
func (s *Share) String() string {
	if s.counted {
		return fmt.Sprintf("%d for %s", s.most, s.name)
	}
	return units.BytesSize(float64(s.most)) + " for " + s.name
}

// Size is the most that the share may have, in bytes.
func (s *Share) Size() int64 { return s.most }

// Held is how much of it is given out, and to how many holders.
func (s *Share) Held() (bytes int64, holders int) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return s.held, len(s.holds)
}

// Of is how much an origin has of it.
func (s *Share) Of(origin string) int64 {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return s.byOrigin[origin]
}

// Try takes n bytes for the holder of ctx if they are free now and nobody waits
// who has less. What is larger than the share is all of it.
func (s *Share) Try(ctx context.Context, n int64) (release func(), ok bool) {
	h := hold{holderOf(ctx), s.bounded(n)}
	for again := true; ; again = false {
		release, short := s.try(h)
		if release != nil || short == 0 || !again || s == s.pool.Caches {
			return release, release != nil
		}
		s.pool.shrink(short)
	}
}

// Take waits until it has n bytes for the holder of ctx. The error matches
// [ErrFull], and ctx's when that has ended.
func (s *Share) Take(ctx context.Context, n int64) (release func(), err error) {
	if release, ok := s.Try(ctx, n); ok {
		return release, nil
	}
	c := &claim{hold: hold{holderOf(ctx), s.bounded(n)}, granted: make(chan func(), 1)}
	if !s.queue(c) {
		return nil, fmt.Errorf("%w: %s, and too many wait", ErrFull, s)
	}
	look := time.NewTicker(pressEvery)
	defer look.Stop()
	for {
		select {
		case release := <-c.granted:
			return release, nil
		case <-look.C:
			s.press(c)
		case <-ctx.Done():
			if release := s.leave(c); release != nil {
				release() // it came at the last moment
			}
			return nil, fmt.Errorf("%w: %s: %w", ErrFull, s, context.Cause(ctx))
		}
	}
}

// bounded is n, or what one alone gets of the share.
func (s *Share) bounded(n int64) int64 { return min(n, s.most-s.most/spared) }

// try gives memory, or tells how much the pool is short of it; 0 when it is not that.
func (s *Share) try(h hold) (release func(), short int64) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if !s.first(h) || !within(s.held, s.byOrigin[h.Origin], h.n, s.most) {
		return nil, 0
	}
	if short := s.short(h); short > 0 {
		return nil, short
	}
	return s.grant(h), 0
}

// first tells whether nobody else waits who would have less.
func (s *Share) first(h hold) bool {
	return !slices.ContainsFunc(s.claims, func(c *claim) bool {
		return c.Origin != h.Origin && s.byOrigin[c.Origin]+c.n < s.byOrigin[h.Origin]+h.n
	})
}

// within tells whether one who has own may have n more of size, of which held is
// given out: of the last part nobody gets more than is left for others then.
func within(held, own, n, size int64) bool {
	return held+n <= size-size/spared || own+n <= size-held
}

// short is how many bytes the pool lacks.
func (s *Share) short(h hold) int64 {
	kept := int64(0) // what is held, or kept for who has less
	for _, other := range s.pool.shares {
		held := other.held
		if other == s {
			held += h.n
		}
		kept += max(held, other.least)
	}
	if s.held == 0 || s.held+h.n <= s.least {
		return 0 // its own, and one of each kind may always go on
	}
	free := s.pool.size
	if s.pool.byOrigin[h.Origin]+h.n > free/spared {
		free -= free / spared / 2
	}
	return max(0, kept-free)
}

func (s *Share) grant(h hold) (release func()) {
	held := &h
	s.holds[held] = struct{}{}
	s.held += h.n
	s.byOrigin[h.Origin] += h.n
	s.pool.byOrigin[h.Origin] += h.n
	return sync.OnceFunc(func() {
		s.pool.mu.Lock()
		defer s.pool.mu.Unlock()
		delete(s.holds, held)
		s.held -= h.n
		Less(s.byOrigin, h.Origin, h.n)
		Less(s.pool.byOrigin, h.Origin, h.n)
		s.pool.serve()
	})
}

func (s *Share) queue(c *claim) bool {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if len(s.claims) >= maxWaiting || s.waiting[c.Origin] >= waitingEach {
		s.refused++
		return false
	}
	s.claims = append(s.claims, c)
	s.waiting[c.Origin]++
	s.pool.serve() // some may have come back since
	return true
}

// answered takes out a claim that waits no longer.
func (s *Share) answered(i int) {
	Less(s.waiting, s.claims[i].Origin, 1)
	s.claims = slices.Delete(s.claims, i, i+1)
}

// leave takes a claim out, or gives what it has got.
func (s *Share) leave(c *claim) (release func()) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if i := slices.Index(s.claims, c); i >= 0 {
		s.refused++
		s.answered(i)
		s.pool.serve() // those behind it
		return nil
	}
	return <-c.granted
}

// press makes room for a claim: caches give way, then work is cut that stands still,
// of the origin that has most.
func (s *Share) press(c *claim) {
	s.pool.mu.Lock()
	var victim *hold
	short := int64(0)
	if within(s.held, s.byOrigin[c.Origin], c.n, s.most) {
		short = s.short(c.hold)
		victim = worst(c, s.pool.byOrigin, s.pool.size, s.pool.shares...)
	} else {
		victim = worst(c, s.byOrigin, s.most, s)
	}
	s.pool.mu.Unlock()
	if short > 0 {
		s.pool.shrink(short)
	}
	if victim != nil {
		victim.Cut()
	}
}

// worst finds what has stood still for longest, of an origin that would still have
// more than c's.
func worst(c *claim, byOrigin map[string]int64, size int64, shares ...*Share) (victim *hold) {
	fair := size / int64(len(byOrigin)+1)
	now := time.Now()
	oldest := now
	for _, s := range shares {
		for h := range s.holds {
			if h.Cut == nil || h.Moved == nil || h.Origin == c.Origin || byOrigin[h.Origin] <= byOrigin[c.Origin]+c.n {
				continue
			}
			floor := FloorTime
			if byOrigin[h.Origin] > fair {
				floor = shortFloor
			}
			if moved := h.Moved(); now.Sub(moved) > floor && moved.Before(oldest) {
				victim, oldest = h, moved
			}
		}
	}
	return victim
}
