package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// busyFor asks to be left alone for d, and then is well.
func busyFor(d time.Duration) getFunc {
	var until time.Time
	return func(ctx context.Context, c cid.Cid) ([]byte, error) {
		if until.IsZero() {
			until = time.Now().Add(d)
		}
		if time.Now().Before(until) {
			return nil, fmt.Errorf("%w: 429: %w", ipfs.ErrUnavailable, &ipfs.BusyError{Until: until})
		}
		return good(ctx, c)
	}
}

// A source that asks for patience is not asked again before its time, even by
// who insists, and is waited for when there is no other.
func TestBusySourceIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newSet(t, Options{Insist: true}, busyFor(30*time.Second))
		for range 20 {
			if _, err := s.Get(t.Context(), block(t)); !errors.Is(err, ipfs.ErrUnavailable) {
				t.Errorf("%v, want ErrUnavailable", err)
			} else if until, busy := ipfs.BusyUntil(err); !busy || time.Until(until) > 30*time.Second {
				t.Errorf("%v does not tell how long", err)
			}
			time.Sleep(time.Second)
		}
		if n := f[0].n.Load(); n != 1 {
			t.Errorf("asked %d times in its 30 s", n)
		}
		time.Sleep(11 * time.Second)
		if _, err := s.Get(t.Context(), block(t)); err != nil || f[0].n.Load() != 2 {
			t.Errorf("after its time: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, f := newSet(t, Options{Patience: time.Minute}, busyFor(30*time.Second), lacking)
		began := time.Now()
		if _, err := s.Get(t.Context(), block(t)); err != nil || time.Since(began) != 30*time.Second || f[0].n.Load() != 2 {
			t.Errorf("%v after %s and %d questions, want the block after 30 s and 2", err, time.Since(began), f[0].n.Load())
		}
		s, _ = newSet(t, Options{Patience: 10 * time.Second}, busyFor(30*time.Second))
		began = time.Now()
		if _, err := s.Get(t.Context(), block(t)); !errors.Is(err, ipfs.ErrUnavailable) || time.Since(began) != 0 {
			t.Errorf("%v after %s, want an error at once: it takes longer than all patience", err, time.Since(began))
		}
		s, _ = newSet(t, Options{}, busyFor(30*time.Second), good)
		began = time.Now()
		if _, err := s.Get(t.Context(), block(t)); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %s, want the other's block at once", err, time.Since(began))
		}
	})
}

// A source that found nobody who has one block still has the others.
func TestFailureOfOneBlock(t *testing.T) {
	var n int
	other := func(context.Context, cid.Cid) ([]byte, error) {
		n++
		return nil, fmt.Errorf("%w: 504: %w", ipfs.ErrUnavailable, ipfs.ErrOneBlock)
	}
	s, f := newSet(t, Options{}, other)
	for range 3 {
		if _, err := s.Get(t.Context(), block(t)); !errors.Is(err, ipfs.ErrUnavailable) || !s.far[0].Up() || s.far[0].Resting() {
			t.Errorf("%v, up: %t", err, s.far[0].Up())
		}
	}
	f[0].get = good
	if _, err := s.Get(t.Context(), block(t)); err != nil || n != 3 {
		t.Errorf("%v after %d questions", err, n)
	}
}

// Who has no other choice may ask a source that failed some time ago, but neither
// one that wants to be left alone nor a liar.
func TestResting(t *testing.T) {
	for name, test := range map[string]struct {
		get  getFunc
		want bool
	}{"well": {good, false}, "fails": {failing, true}, "lies": {lying, false}, "busy": {busyFor(time.Hour), false}} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := newSet(t, Options{Retry: time.Second}, test.get)
			for range 5 { // the pauses grow
				_, _ = s.Get(t.Context(), block(t)) // only what is thought of the source is of interest
				if s.far[0].Resting() {
					t.Errorf("%s: is to be asked at once again", name)
				}
				if !s.far[0].Up() {
					time.Sleep(time.Second)
					if s.far[0].Resting() != (test.want && !s.far[0].Up()) {
						t.Errorf("%s: resting is %t after a second", name, s.far[0].Resting())
					}
				}
				time.Sleep(15 * time.Second)
			}
		})
	}
}

// Whoever waits for a busy source can give up, and Close does not wait.
func TestWaitingForBusyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newSet(t, Options{Patience: time.Hour}, busyFor(30*time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := s.Get(ctx, block(t)); err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		time.AfterFunc(time.Second, func() { s.Close() })
		if _, err := s.Get(t.Context(), block(t)); err == nil || time.Since(began) != 2*time.Second {
			t.Errorf("closed: %v after %s", err, time.Since(began))
		}
	})
}

// Who has a deadline comes back to a busy source until then, sooner or later than all
// patience, if the set is told so.
func TestPatienceUntilDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		until      bool
		deadline   time.Duration // 0 for none
		wait       time.Duration // that the source asks for
		want       bool
		afterwards time.Duration
	}{
		"later than all patience":     {true, time.Hour, 30 * time.Minute, true, 30 * time.Minute},
		"too late":                    {true, 20 * time.Minute, 30 * time.Minute, false, 0},
		"before all patience":         {true, time.Minute, 2 * time.Minute, false, 0},
		"none, within patience":       {true, 0, 4 * time.Minute, true, 4 * time.Minute},
		"none, beyond patience":       {true, 0, 30 * time.Minute, false, 0},
		"a set with its own patience": {false, time.Hour, 30 * time.Minute, false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := newSet(t, Options{Patience: Patience, UntilDeadline: c.until}, busyFor(c.wait))
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if c.deadline > 0 {
				ctx, cancel = context.WithTimeout(ctx, c.deadline)
			}
			defer cancel()
			began := time.Now()
			if _, err := s.Get(ctx, block(t)); (err == nil) != c.want || time.Since(began) != c.afterwards {
				t.Errorf("%s: %v after %s", name, err, time.Since(began))
			}
		})
	}
}

// Many who were turned away at once do not come back at once.
func TestBackOffVaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pauses := map[time.Duration]bool{}
		for range 20 {
			s, _ := newSet(t, Options{Retry: time.Second}, failing)
			_, err := s.Get(t.Context(), block(t))
			if err == nil {
				t.Fatal("no error")
			}
			pause := time.Until(s.far[0].down)
			if pause < 750*time.Millisecond || pause > time.Second {
				t.Errorf("pause of %s, want 0.75 to 1 s", pause)
			}
			pauses[pause] = true
		}
		if len(pauses) < 10 {
			t.Errorf("20 sources have %d pauses", len(pauses))
		}
	})
}

// One dead source costs nothing after the first question, however long it took
// to see that; one that comes and goes never costs more than a wait.
func TestDeadAndFlappingSources(t *testing.T) {
	slowDeath := func(ctx context.Context, c cid.Cid) ([]byte, error) {
		time.Sleep(500 * time.Millisecond)
		return failing(ctx, c)
	}
	synctest.Test(t, func(t *testing.T) {
		s, f := newSet(t, Options{Retry: 5 * time.Second}, slowDeath, good)
		for i := range 100 {
			began := time.Now()
			if _, err := s.Get(t.Context(), block(t)); err != nil || i > 0 && time.Since(began) != 0 {
				t.Errorf("block %d: %v after %s", i, err, time.Since(began))
			}
		}
		if n := f[0].n.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		flapping := func(ctx context.Context, c cid.Cid) ([]byte, error) {
			switch time.Now().Second() % 3 {
			case 0:
				return failing(ctx, c)
			case 1:
				return stalling(ctx, c)
			}
			return good(ctx, c)
		}
		s, _ := newSet(t, Options{}, flapping, good)
		begun, waits := time.Now(), 0
		for time.Since(begun) < 10*time.Minute {
			began := time.Now()
			_, err := s.Get(t.Context(), block(t))
			if waited := time.Since(began); err != nil || waited > time.Second {
				t.Fatalf("%v after %s", err, waited)
			} else if waited > 0 {
				waits++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if waits > 150 {
			t.Errorf("%d waits of a second in 10 minutes, want no more than one each 4 s", waits)
		}
	})
}

// A store on this machine that hangs costs its time-out once, not for each block,
// nor for the blocks that are looked for in it before a stream.
func TestHungNearSource(t *testing.T) {
	data, c, blocks := file(t, 8)
	synctest.Test(t, func(t *testing.T) {
		hung := &fake{name: "store", get: stalling}
		s := New(Options{Fetch: 2 * time.Second, Retry: time.Hour}, Near(hung), Far(blocks))
		defer s.Close()
		began := time.Now()
		if got, err := readAll(t, s, c); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
		}
		if took := time.Since(began); took > 2*time.Second || hung.n.Load() != 1 {
			t.Errorf("it took %s and %d questions, want one of 2 s", took, hung.n.Load())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		hung := &fake{name: "store", get: lacking}
		s := New(Options{Fetch: 2 * time.Second, Retry: time.Hour}, Near(hung), Far(blocks))
		defer s.Close()
		d := s.DAG(c)
		defer d.Close()
		hung.get = func(ctx context.Context, b cid.Cid) ([]byte, error) {
			if b.Equals(c) {
				return lacking(ctx, b)
			}
			return stalling(ctx, b)
		}
		began := time.Now()
		if _, err := d.Get(t.Context(), c); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("%v after %s, want the first block after one time-out", err, time.Since(began))
		}
	})
}
