package sources

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Source is one place to get blocks from, and what is known of its health. It
// belongs to one [Set] and is safe for concurrent use.
type Source struct {
	name   string
	getter ipfs.Getter // checked
	dags   Streamer    // nil when it gives single blocks only
	ahead  Fetcher     // nil when it gets nothing ahead
	near   bool
	opts   *Options

	noStream atomic.Bool // it has no CARs

	mu       sync.Mutex
	failures int       // in a row
	misses   int       // blocks in a row that it lacked
	down     time.Time // not to be asked before
	failed   time.Time // last
	busy     time.Time // its own word that it is not to be asked before
	later    time.Time // asked after the others until then
	compare  time.Time // when another may next be asked for a block that comes slowly
	vain     int       // times in a row that the other was no faster
	lied     time.Time // when it last sent a false block; zero for never
	why      error     // it is down or has lied
}

// Near makes a Source that answers at once from what it holds: a store in this
// process or on this machine. It is asked before all others. A broken block in
// it does not exclude it, since it is our own.
func Near(g ipfs.Getter) *Source {
	s := Far(g)
	s.near = true
	return s
}

// Far makes a Source that takes its time: a gateway, or a node that asks its
// peers. A String method of g names it in messages; if g is a [Streamer] or a
// [Fetcher], whole DAGs are read from it.
func Far(g ipfs.Getter) *Source {
	s := &Source{name: "an IPFS node", getter: ipfs.Verified(g)}
	if named, ok := g.(fmt.Stringer); ok {
		s.name = named.String()
	}
	s.dags, _ = g.(Streamer)
	s.ahead, _ = g.(Fetcher)
	return s
}

// String names the source.
func (s *Source) String() string { return s.name }

// Up tells whether the source is asked: it is not while it recovers from a
// failure, nor after it has sent a false block.
func (s *Source) Up() bool { return s.trusted() == nil && s.answering() == nil }

// Resting tells whether the source is left alone after failures, but not by its
// own wish, and has not failed within Options.Retry: it may be well again, which
// is worth a question when there is no other.
func (s *Source) Resting() bool {
	if _, busy := s.isBusy(); busy || s.Up() || s.trusted() != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.failed) >= s.opts.Retry
}

// trusted is nil unless the source has sent a false block.
func (s *Source) trusted() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lied.IsZero() || s.opts.Forgive > 0 && time.Since(s.lied) > s.opts.Forgive {
		return nil
	}
	return fmt.Errorf("%s: %w: not asked any more because it sent a false block (%v)", s.name, ipfs.ErrUnavailable, s.why)
}

// answering is nil unless the source is left alone for a while.
func (s *Source) answering() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.down
	if s.busy.After(until) {
		until = s.busy
	}
	if !time.Now().Before(until) {
		return nil
	}
	return fmt.Errorf("%s: not asked for the next %s after it failed: %w", s.name, time.Until(until).Round(time.Millisecond), s.why)
}

// isBusy tells until when the source wants to be left alone.
func (s *Source) isBusy() (until time.Time, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy, time.Now().Before(s.busy)
}

// demoted tells whether other sources are to be asked first.
func (s *Source) demoted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.later)
}

// demote has other sources asked first for a while.
func (s *Source) demote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later, s.vain = time.Now().Add(s.opts.Retry), 0
}

// compared tells whether another source is to be asked for a block that comes,
// but slowly. The other may be faster, or share the same slow link: one block
// now and then, and ever more seldom, is enough to find out; all of them are
// asked for when it was faster.
func (s *Source) compared() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.later) {
		return true
	}
	if now.Before(s.compare) {
		return false
	}
	s.compare = now.Add(s.opts.backoff(s.vain))
	s.vain++
	return true
}

const (
	maxBackoff = 12 // times the first pause
	maxMisses  = 2  // in a row, after which others are asked first
)

// backoff is a pause that doubles each time.
func (o *Options) backoff(times int) time.Duration {
	return min(o.Retry<<min(times, 8), o.Retry*maxBackoff)
}

// Report takes the outcome of a question to the source. One that does not
// answer is left alone for a while that doubles each time, and varies, so that
// not all who were turned away come back at once; one that says for how long,
// for as long as that ([ipfs.BusyError]). An answer that took
// longer than ctx is none of its faults: IPFS takes its time over what it
// cannot find; nor is a failure that is about one block alone
// ([ipfs.ErrOneBlock]). One that sends a false block is not asked any more.
func (s *Source) Report(ctx context.Context, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.failures, s.misses, s.down, s.later = 0, 0, time.Time{}, time.Time{}
	case errors.Is(err, ipfs.ErrCorrupt):
		s.opts.Logger.Warn("a source sent a false block", "source", s.name, "error", err)
		if !s.near {
			s.lied, s.why = time.Now(), err
		}
	case errors.Is(err, ipfs.ErrUnavailable) && !errors.Is(err, ipfs.ErrOneBlock):
		if until, busy := ipfs.BusyUntil(err); busy {
			s.busy, s.why = until, err
			return
		}
		if ctx.Err() != nil {
			return
		}
		s.failed = time.Now()
		if s.failed.Before(s.down) { // many questions that fail at once are one failure
			return
		}
		pause := s.opts.backoff(s.failures)
		pause -= rand.N(pause/4 + 1) //nolint:gosec // chance that nobody gains from guessing
		s.down, s.why = s.failed.Add(pause), err
		s.failures++
		s.opts.Logger.Log(ctx, slog.LevelDebug, "a source failed", "source", s.name, "pause", pause, "error", err)
	case errors.Is(err, ipfs.ErrNotFound), errors.Is(err, ipfs.ErrOneBlock):
		s.failures, s.down = 0, time.Time{}
		if s.misses++; s.misses >= maxMisses {
			s.later = time.Now().Add(s.opts.Retry)
		}
	}
}

// get asks the source for one block.
func (s *Source) get(ctx context.Context, c cid.Cid) ([]byte, error) {
	outer := ctx
	ctx, stop := paced(outer, s.opts.Fetch)
	defer stop()
	data, err := s.getter.Get(ctx, c)
	if err == nil {
		s.Report(ctx, nil)
		return data, nil
	}
	if why := context.Cause(ctx); errors.Is(why, context.DeadlineExceeded) {
		if errors.Is(err, context.Canceled) { // nobody has canceled it
			err = why
		}
		err = fmt.Errorf("%w: block %s did not come in time: %w", ipfs.ErrUnavailable, c, err)
	}
	if s.near { // has no reason to take long
		ctx = outer
	}
	s.Report(ctx, err)
	if strings.Contains(err.Error(), s.name) {
		return nil, err
	}
	return nil, fmt.Errorf("%s: %w", s.name, err)
}
