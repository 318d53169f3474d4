package exchange

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// Identities cost nothing: whoever has many on one machine has no more of the places
// for that when another waits, and those of who takes nothing go first.
func TestPlacesPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limits Limits
		limits.setDefaults()
		g := newGate(limits, budget.New(0))
		taken := 0
		still := time.Now()
		for i := range 9 {
			for range limits.PerPeer {
				var release func()
				ctx := budget.With(t.Context(), &budget.Holder{Origin: "192.0.2.1", Moved: func() time.Time { return still }, Cut: func() { release() }})
				short, cancel := context.WithTimeout(ctx, time.Millisecond)
				if leave, ok := g.enter(short, fmt.Sprint("peer", i), false); ok {
					release = leave
					taken++
				}
				cancel()
			}
		}
		if taken < limits.Answers*7/8 || taken >= limits.Answers {
			t.Errorf("one address has %d of %d places", taken, limits.Answers)
		}
		other := budget.With(t.Context(), &budget.Holder{Origin: "192.0.2.2"})
		for i := range 12 {
			if _, ok := g.enter(other, "honest", false); !ok {
				t.Fatalf("another address has %d places", i)
			}
		}
		if _, ok := g.enter(other, "honest", false); ok {
			t.Error("a peer has more than its share")
		}
	})
}
