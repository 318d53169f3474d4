// Package budget bounds the memory that is held for strangers: one number of bytes
// for the process, of which each kind of work has a share.
//
// A share has little that is kept for it alone and may grow far beyond that while
// the others leave room; caches give way to all of them. An origin may have nearly
// all of a share while nobody else wants it. When another origin waits, what moves
// too little is cut, of those who hold most.
package budget

import (
	"errors"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
)

// Default is what a process may take when nothing else is said, in bytes.
const Default = 512 << 20

// Least is what a process needs to answer at all, in bytes.
const Least = 128 << 20

// ErrFull is matched by errors about memory, or places, of which nothing is left.
var ErrFull = errors.New("all that there is for this kind of work is in use")

// Budget is what a process may hold for strangers, by what it is held for. It is
// safe for concurrent use.
type Budget struct {
	Connections *Share // of clients, with one request each
	Requests    *Share // that share a connection
	Looking     *Share // roots from elsewhere that are being opened
	Reading     *Share // manifests and indices that are on their way
	Decoding    *Share // the same, while they are read as JSON
	Sending     *Share // contents from elsewhere, while clients take them
	Exporting   *Share // CARs
	Inflating   *Share // layers that are decompressed
	Writing     *Share // blobs that are being pushed
	Begun       *Share // uploads between their requests
	Messages    *Share // of peers, on their way
	Answers     *Share // to peers
	Streams     *Share // of peers
	Caches      *Share

	total int64
	size  int64 // of all shares

	mu       sync.Mutex
	shares   []*Share
	byOrigin map[string]int64
	shrinks  []func(n int64) // of caches
	caches   []aging

	clock atomic.Uint64 // counts uses of what caches remember
}

// aging is a [Cache], of whatever.
type aging interface {
	oldest() (used uint64, ok bool)
	forgetOldest()
}

// New divides total bytes, [Default] when 0: half are for strangers, the rest for the
// program and for what the collector has not given back yet.
func New(total int64) *Budget {
	if total == 0 {
		total = Default
	}
	b := &Budget{total: total, size: total / 2, byOrigin: map[string]int64{}}
	of := func(of128 int64) int64 { return total / 128 * of128 }
	b.Connections = b.share("connections", of(8), of(40))
	b.Requests = b.share("requests on shared connections", of(2), of(16))
	b.Looking = b.share("images being looked up", of(1), of(4))
	b.Reading = b.share("manifests being read", of(2), of(8))
	b.Decoding = b.share("manifests being decoded", of(4), of(14))
	b.Sending = b.share("contents from elsewhere", of(6), of(28))
	b.Exporting = b.share("CARs being sent", of(1), of(8))
	b.Inflating = b.share("layers being decompressed", of(1), of(16))
	b.Writing = b.share("blobs being pushed", of(2), of(16))
	b.Begun = b.share("uploads that have begun", of(1), of(12))
	b.Messages = b.share("messages of peers", of(1), of(8))
	b.Answers = b.share("answers to peers", of(2), of(12))
	b.Streams = b.share("streams of peers", of(2), of(16))
	b.Caches = b.share("caches", of(2), of(20))
	return b
}

// Total is what the process may take, in bytes.
func (b *Budget) Total() int64 { return b.total }

// Held is what all shares have given out, in bytes.
func (b *Budget) Held() (held int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shares {
		held += s.held
	}
	return held
}

// Given is what a share has given out.
type Given struct {
	Name       string
	Held, Most int64 // bytes that are given out, and may be
	Waiting    int   // claims
	Refused    int64 // claims that got nothing in time, since the start
}

// Given tells of all shares.
func (b *Budget) Given() (all []Given) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shares {
		all = append(all, Given{s.name, s.held, s.most, len(s.claims), s.refused})
	}
	return all
}

// Shrinks has shrink called when others need n bytes more than there are. It gives
// back what it can before it returns.
func (b *Budget) Shrinks(shrink func(n int64)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shrinks = append(b.shrinks, shrink)
}

// Enforce has the runtime give memory back before the process takes more than total
// bytes, [Default] when 0.
func Enforce(total int64) {
	if total == 0 {
		total = Default
	}
	debug.SetMemoryLimit(total / 8 * 6)
}

// serve gives what is free to those who wait: of each share first to who has least.
func (b *Budget) serve() {
	for _, s := range b.shares {
		for len(s.claims) > 0 {
			next := 0
			for i, c := range s.claims {
				if s.byOrigin[c.Origin] < s.byOrigin[s.claims[next].Origin] {
					next = i
				}
			}
			c := s.claims[next]
			if !within(s.held, s.byOrigin[c.Origin], c.n, s.most) || s.short(c.hold) > 0 {
				break
			}
			s.answered(next)
			c.granted <- s.grant(c.hold)
		}
	}
}

// shrink has caches give n bytes back.
func (b *Budget) shrink(n int64) {
	b.mu.Lock()
	shrinks := slices.Clone(b.shrinks)
	before := b.Caches.held
	b.mu.Unlock()
	for _, shrink := range shrinks {
		shrink(n)
		held, _ := b.Caches.Held()
		if before-held >= n {
			return
		}
	}
}

// joins has a cache give way to the others.
func (b *Budget) joins(c aging) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.caches = append(b.caches, c)
}

// forgetOldest forgets what was not used for longest in all caches; false where they are
// empty. The caller holds the lock of none.
func (b *Budget) forgetOldest() bool {
	b.mu.Lock()
	caches := slices.Clone(b.caches)
	b.mu.Unlock()
	var from aging
	first := uint64(math.MaxUint64)
	for _, c := range caches {
		if used, ok := c.oldest(); ok && used < first {
			from, first = c, used
		}
	}
	if from != nil {
		from.forgetOldest()
	}
	return from != nil
}

// Less takes n from what is counted of a key, which is counted no more when nothing
// is left.
func Less[N int | int64](counts map[string]N, key string, n N) {
	if counts[key] -= n; counts[key] == 0 {
		delete(counts, key)
	}
}
