package budget

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// as is a context whose holder moves always, and cannot be cut.
func as(t *testing.T, origin string) context.Context {
	return With(t.Context(), &Holder{Origin: origin})
}

func mustTry(ctx context.Context, t *testing.T, s *Share, n int64) (release func()) {
	t.Helper()
	release, ok := s.Try(ctx, n)
	if !ok {
		t.Fatalf("%d of %s are refused", n, s.name)
	}
	return release
}

// However the shares grow, what strangers hold together leaves the program the rest,
// and each share keeps what is its own.
func TestOnePool(t *testing.T) {
	for _, total := range []int64{Least, Default, 8 << 30} {
		b := New(total)
		kept := int64(0)
		for _, s := range b.shares {
			kept += s.least
			for i := 0; ; i++ {
				if _, ok := s.Try(as(t, string(rune('a'+i%20))), total/512); !ok {
					break
				}
			}
		}
		if held := b.Held(); held > total/2 || held < total/8*3 {
			t.Errorf("of %d bytes strangers hold %d", total, held)
		}
		if kept > total/8*3 {
			t.Errorf("of %d bytes %d are kept: nothing is left to share", total, kept)
		}
		for _, s := range b.shares {
			if s.held < s.least-s.most/spared {
				t.Errorf("%s have %d bytes, and %d are kept for them", s.name, s.held, s.least)
			}
		}
	}
}

// No more is held than there is, who waits gets it, and what is larger than all of it
// does not wait for ever.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShare("tests", 100)
		var mu sync.Mutex
		held, most, done := int64(0), int64(0), 0
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				n := int64(i * 5)
				release, err := s.Take(t.Context(), n)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				held += s.bounded(n)
				most, done = max(most, held), done+1
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				held -= s.bounded(n)
				mu.Unlock()
				release()
				release() // twice gives back once
			})
		}
		all.Wait()
		if most > 100 || done != 50 {
			t.Errorf("%d bytes held at once, %d served", most, done)
		}
		release := mustTry(t.Context(), t, s, 100)
		defer release()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(ctx, 50); !errors.Is(err, ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, ErrFull)
		}
	})
}

// One who takes all that he can, under one name, has nearly all while nobody else
// wants any, and leaves room for whoever comes next.
func TestOneAlone(t *testing.T) {
	s := NewShare("places", 64)
	greedy := 0
	for {
		if _, ok := s.Try(as(t, "greedy"), 1); !ok {
			break
		}
		greedy++
	}
	if greedy < 56 || greedy > 60 {
		t.Errorf("one alone has %d of 64", greedy)
	}
	mustTry(as(t, "honest"), t, s, 1)
}

// worker holds something until it is cut.
type worker struct {
	moved time.Time
	cuts  atomic.Int32
}

func (w *worker) take(t *testing.T, s *Share, origin string, n int64, still bool) {
	t.Helper()
	var release func()
	h := &Holder{Origin: origin, Moved: func() time.Time {
		if still {
			return w.moved
		}
		return time.Now()
	}, Cut: func() { w.cuts.Add(1); release() }}
	w.moved = time.Now()
	release = mustTry(With(t.Context(), h), t, s, n)
}

// Shares bind while another origin waits: who has most makes room, with what stands
// still, and soon.
func TestOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShare("places", 64)
		var moving, standing worker
		moving.take(t, s, "greedy", 40, false)
		standing.take(t, s, "greedy", 16, true)
		ctx, cancel := context.WithTimeout(as(t, "greedy"), time.Minute)
		defer cancel()
		if _, err := s.Take(ctx, 20); !errors.Is(err, ErrFull) || standing.cuts.Load() != 0 {
			t.Errorf("its own work was cut %d times for it, %v", standing.cuts.Load(), err)
		}
		began := time.Now()
		if _, err := s.Take(as(t, "honest"), 12); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*shortFloor || standing.cuts.Load() != 1 || moving.cuts.Load() != 0 {
			t.Errorf("after %s, what stood still was cut %d times, what moved %d times", took, standing.cuts.Load(), moving.cuts.Load())
		}
		ctx, cancel = context.WithTimeout(as(t, "third"), time.Second)
		defer cancel()
		waits := make(chan error, 1)
		go func() {
			_, err := s.Take(ctx, 20)
			waits <- err
		}()
		synctest.Wait()
		if _, ok := s.Try(as(t, "greedy"), 1); ok {
			t.Error("who has more goes before one who waits")
		}
		if err := <-waits; !errors.Is(err, ErrFull) {
			t.Error(err)
		}
	})
}

// When the pool is short, caches give way first, then the share that has most.
func TestPoolIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(0)
		cached := int64(0)
		b.Shrinks(func(n int64) {
			n = min(n, cached)
			cached -= n
			b.Caches.Refund(n)
		})
		for b.Caches.Charge(1 << 20) {
			cached += 1 << 20
		}
		if cached != b.Caches.most {
			t.Fatalf("caches have %d bytes", cached)
		}
		var uploads, contents []*worker
		for fill(t, b.Connections, "many") {
		}
		for {
			var w worker
			if _, ok := b.Sending.Try(as(t, "probe"), 0); !ok || !room(b.Sending, 1<<20) {
				break
			}
			w.take(t, b.Sending, "greedy", 1<<20, true)
			contents = append(contents, &w)
		}
		for room(b.Writing, 1<<20) {
			var w worker
			w.take(t, b.Writing, "greedy", 1<<20, true)
			uploads = append(uploads, &w)
		}
		if cached > b.Caches.most/2 {
			t.Errorf("caches keep %d bytes beside %d contents and %d uploads", cached, len(contents), len(uploads))
		}
		if _, err := b.Decoding.Take(as(t, "honest"), b.Decoding.most*3/4); err != nil {
			t.Error(err)
		}
	})
}

func fill(t *testing.T, s *Share, origin string) bool {
	_, ok := s.Try(as(t, origin), 1<<20)
	return ok
}

// room tells whether an origin that has some could have n more.
func room(s *Share, n int64) bool {
	release, ok := s.Try(With(context.Background(), &Holder{Origin: "greedy"}), n)
	if ok {
		release()
	}
	return ok
}

// What is said to be in use is as much as there is, small as it may be, in its unit.
func TestFullSaysOfWhat(t *testing.T) {
	small := New(64 << 10)
	for want, s := range map[string]*Share{
		"in use: 8MiB for manifests being read: ": New(128 << 20).Reading,
		"in use: 4KiB for manifests being read: ": small.Reading,
		"in use: 64 for places: ":                 NewShare("places", 64),
	} {
		synctest.Test(t, func(t *testing.T) {
			mustTry(as(t, "a"), t, s, s.Size())
			ctx, cancel := context.WithTimeout(as(t, "b"), time.Second)
			defer cancel()
			if _, err := s.Take(ctx, s.Size()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// Those who wait are few, of one origin too: waiting costs memory.
func TestFewWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShare("places", 8)
		mustTry(as(t, "holder"), t, s, 7)
		ctx, cancel := context.WithTimeout(as(t, "many"), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range waitingEach {
			all.Go(func() { _, _ = s.Take(ctx, 7) })
		}
		synctest.Wait()
		began := time.Now()
		if _, err := s.Take(ctx, 7); !errors.Is(err, ErrFull) || time.Since(began) != 0 {
			t.Errorf("one more waits: %v after %s", err, time.Since(began))
		}
		all.Wait()
		if len(s.claims)+len(s.waiting) != 0 {
			t.Errorf("%d wait, of %v", len(s.claims), s.waiting)
		}
	})
}
