package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/test/simnet"
)

// deaths are how a machine ends: the others notice, or are not told.
var deaths = map[string]func(m *simnet.Machine) func(){
	"killed": func(m *simnet.Machine) func() { return m.Kill },
	"frozen": func(m *simnet.Machine) func() { return m.Freeze },
}

// dies has the origin die when that many images have left it; at 1 as soon as the others
// have all blocks among them. It gives whether that has happened.
func (s *scene) dies(at float64, die func()) *atomic.Bool {
	died := &atomic.Bool{}
	death := func() { died.Store(true); die() }
	if at < 1 {
		s.origin.After(int64(at*float64(s.size)), death)
		return died
	}
	go func() {
		for _, c := range s.image {
			for !s.origin.IsShared(s.t.Context(), c, s.machines...) {
				time.Sleep(time.Millisecond)
			}
		}
		death()
	}()
	return died
}

// Once the others have all blocks among them the origin is needed no more. When it dies before, each
// reader is told what is missing and who was asked, within Give after the last block, or
// after somebody said that it was on its way, which ends within Stall; and nobody goes
// on working.
func TestOriginDies(t *testing.T) {
	for death, die := range deaths {
		for _, at := range []float64{0.3, 0.6, 0.9, 1} {
			t.Run(fmt.Sprint(death, " after ", at, " images"), func(t *testing.T) {
				if testing.Short() && death == "frozen" && at != 0.6 {
					t.Skip("minutes with the race detector")
				}
				synctest.Test(t, func(t *testing.T) {
					s := newScene(t, 4, exchange.Limits{}, 12<<20, 8<<20, 4<<20)
					defer s.Close()
					died := s.dies(at, die(s.origin))
					type outcome struct {
						err   error
						after time.Duration // the last block
					}
					outcomes := make(chan outcome)
					for _, m := range s.machines {
						go func() {
							err := m.Pull(t.Context(), s.image...)
							outcomes <- outcome{err, time.Since(m.LastCame())}
						}()
					}
					for range s.machines {
						o := <-outcomes
						if at == 1 || o.err == nil {
							if o.err != nil {
								t.Error(o.err)
							}
							continue
						}
						if o.after > 20500*time.Millisecond {
							t.Errorf("told %s after the last block", o.after)
						}
						told(t, o.err)
					}
					if !died.Load() {
						t.Error("the origin has not died")
					}
					s.ends()
				})
			})
		}
	}
}

// told checks what an error about missing blocks says.
func told(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ipfs.ErrUnavailable) && !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("%v matches nothing that was promised", err)
	}
	for _, part := range []string{"block ", "peer"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	all := strings.Contains(err.Error(), "within") && strings.Contains(err.Error(), "are missing") && strings.Contains(err.Error(), "asked were")
	if !all && !strings.Contains(err.Error(), "no peer has block ") {
		t.Errorf("%q says neither what is missing and who was asked nor that nobody has it", err)
	}
}

// ends checks that nobody asks anybody any more when all readers have left for long
// enough.
func (s *scene) ends() {
	s.t.Helper()
	time.Sleep(5 * time.Second)
	before := s.Requests()
	time.Sleep(time.Minute)
	if more := s.Requests() - before; more > 0 {
		s.t.Errorf("%d requests in the minute after all readers had left", more)
	}
}

// A machine of the crowd that dies takes with it what it alone had, and costs the
// origin no more than that.
func TestMachineDies(t *testing.T) {
	for death, die := range deaths {
		for _, at := range []float64{0.1, 0.3, 0.6, 0.9} {
			t.Run(fmt.Sprint(death, " after ", at, " images"), func(t *testing.T) {
				if testing.Short() && (death == "killed") != (at == 0.3) {
					t.Skip("minutes with the race detector")
				}
				synctest.Test(t, func(t *testing.T) {
					s := newScene(t, 6, exchange.Limits{}, 12<<20, 8<<20, 4<<20)
					defer s.Close()
					dead := s.machines[2]
					dead.After(int64(at*float64(s.size)), die(dead))
					ctx, cancel := context.WithCancel(t.Context())
					go func() { _ = dead.Pull(ctx, s.image...) }() // it dies
					began := time.Now()
					s.mustPull(0, append(s.machines[:2:2], s.machines[3:]...)...)
					cancel()
					t.Logf("%.2f images, %s", s.copies(), time.Since(began))
					if s.copies() > 1.4 {
						t.Errorf("%.2f images left the origin", s.copies())
					}
					s.ends()
				})
			})
		}
	}
}

// Who is asked for what its own readers have left goes on no longer than the linger time.
func TestReadersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 4, exchange.Limits{}, 30<<20, 20<<20)
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		s.origin.After(s.size/2, cancel)
		for _, err := range s.pull(ctx, 0, s.machines...) {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		s.ends()
		if s.copies() > 1.1 {
			t.Errorf("%.2f images left the origin", s.copies())
		}
	})
}
