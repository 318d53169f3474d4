package exchange_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/test/simnet"
)

const (
	mbit   = 125_000       // bytes a second
	uplink = 100 * mbit    // of an origin
	near   = 10_000 * mbit // of machines beside each other
)

// scene is an image of several layers that an origin has, and machines that want it.
type scene struct {
	*simnet.Lab
	t        *testing.T
	origin   *simnet.Machine
	machines []*simnet.Machine
	image    []cid.Cid
	size     int64
}

// newScene makes one, where everybody knows everybody.
func newScene(t *testing.T, machines int, limits exchange.Limits, layers ...int) *scene {
	t.Helper()
	s := &scene{Lab: simnet.New(), t: t}
	s.origin = s.Machine("origin", simnet.Rates{Up: uplink, Down: uplink}, limits)
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range layers {
		data := make([]byte, size)
		_, _ = random.Read(data) // never fails
		c, err := s.origin.Publish(t.Context(), bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		s.image, s.size = append(s.image, c), s.size+int64(size)
	}
	for i := range machines {
		s.machines = append(s.machines, s.Machine(fmt.Sprint("machine ", i), simnet.Rates{Up: near, Down: near}, limits))
	}
	s.Connect(append(s.machines, s.origin)...)
	return s
}

// copies is how many images have left the origin.
func (s *scene) copies() float64 { return float64(s.origin.Sent()) / float64(s.size) }

// pull has machines pull at once, each after a pause longer than the one before by step.
func (s *scene) pull(ctx context.Context, step time.Duration, machines ...*simnet.Machine) []error {
	errs := make([]error, len(machines))
	done := make(chan struct{})
	for i, m := range machines {
		go func() {
			time.Sleep(time.Duration(i) * step)
			errs[i] = m.Pull(ctx, s.image...)
			done <- struct{}{}
		}()
	}
	for range machines {
		<-done
	}
	return errs
}

func (s *scene) mustPull(step time.Duration, machines ...*simnet.Machine) {
	s.t.Helper()
	for _, err := range s.pull(s.t.Context(), step, machines...) {
		if err != nil {
			s.t.Error(err)
		}
	}
}

// five are the layers of an image of 80 MB.
var five = []int{30 << 20, 20 << 20, 15 << 20, 8 << 20, 3 << 20}

// What one machine has, the next does not get from the origin; and what several fetch
// at the same time leaves it once.
func TestOriginIsSpared(t *testing.T) {
	for name, test := range map[string]struct {
		machines int
		step     time.Duration
		one      bool // after the other
		most     float64
	}{
		"one after the other":     {4, 0, true, 1.02},
		"two at once":             {2, 0, false, 1.1},
		"three at once":           {3, 0, false, 1.1},
		"eight at once":           {8, 0, false, 1.15},
		"eight within a second":   {8, 130 * time.Millisecond, false, 1.15},
		"eight, one every second": {8, time.Second, false, 1.15},
		"thirty-two at once":      {32, 0, false, 1.15},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "one after the other" && name != "eight within a second" {
				t.Skip("minutes with the race detector")
			}
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, test.machines, exchange.Limits{}, five...)
				defer s.Close()
				began := time.Now()
				if test.one {
					for _, m := range s.machines {
						s.mustPull(0, m)
					}
				} else {
					s.mustPull(test.step, s.machines...)
				}
				t.Logf("%.3f images, %s", s.copies(), time.Since(began))
				if s.copies() > test.most {
					t.Errorf("%.3f images left the origin, want %.2f at most", s.copies(), test.most)
				}
			})
		})
	}
}

// The only copy that is left is asked for each block once, as an origin is.
func TestCopyIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 6, exchange.Limits{}, 20<<20, 10<<20)
		defer s.Close()
		first := s.Machine("first", simnet.Rates{Up: uplink, Down: uplink}, exchange.Limits{})
		s.Connect(append(s.machines, s.origin, first)...)
		s.mustPull(0, first)
		s.origin.Kill()
		s.mustPull(0, s.machines...)
		if copies := float64(first.Sent()) / float64(s.size); copies > 1.15 {
			t.Errorf("%.2f images left the only copy", copies)
		}
	})
}
