package exchange_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
)

// The only holder may pause for a while, at any moment: it has what it had, and all
// complete. When it pauses for longer than somebody is waited for, that is said, with what
// is missing, and not that nobody has it.
func TestHolderPauses(t *testing.T) {
	for _, machines := range []int{1, 4} {
		for _, at := range []time.Duration{50 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second} {
			for _, pause := range []time.Duration{4 * time.Second, 6 * time.Second, 10 * time.Second, 40 * time.Second} {
				t.Run(fmt.Sprint("machines: ", machines, ", at ", at, " for ", pause), func(t *testing.T) {
					if testing.Short() && (machines > 1 || at < 2*time.Second) {
						t.Skip("minutes with the race detector")
					}
					synctest.Test(t, func(t *testing.T) { pauses(t, machines, at, pause) })
				})
			}
		}
	}
}

// waited is the default of [exchange.Limits.Give].
const waited = 15 * time.Second

func pauses(t *testing.T, machines int, at, pause time.Duration) {
	s := newScene(t, machines, exchange.Limits{}, 40<<20, 20<<20)
	defer s.Close()
	time.AfterFunc(at, func() { s.origin.Pause(pause) })
	type outcome struct {
		err   error
		after time.Duration // the last block
	}
	outcomes := make(chan outcome)
	began := time.Now()
	for _, m := range s.machines {
		go func() {
			err := m.Pull(t.Context(), s.image...)
			outcomes <- outcome{err, time.Since(m.LastCame())}
		}()
	}
	for range s.machines {
		o := <-outcomes
		switch {
		case pause < waited:
			if o.err != nil {
				t.Error(o.err)
			}
		case !errors.Is(o.err, ipfs.ErrUnavailable) || errors.Is(o.err, ipfs.ErrNotFound) || !strings.Contains(o.err.Error(), "are missing"):
			t.Error(o.err)
		case o.after > 20500*time.Millisecond:
			t.Errorf("told %s after the last block", o.after)
		}
	}
	t.Logf("%.2f images, %s", s.copies(), time.Since(began))
	s.ends()
}
