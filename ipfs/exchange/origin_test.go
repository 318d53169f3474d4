package exchange

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
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

// Who is told by the only holder that it has too much to do is told to come back, and
// not that the block cannot be had.
func TestBusyHolder(t *testing.T) {
	holder, puller := newMachine(t, "holder", Limits{}), newMachine(t, "puller", Limits{Give: 2 * time.Second})
	c := holder.publish(random(1000, 90))
	holder.replace = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w) })
	join(holder, puller)
	_, err := puller.Get(t.Context(), c)
	if _, busy := ipfs.BusyUntil(err); !busy || !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("one block: %v", err)
	}
	large := holder.publish(random(12<<20, 91))
	g, release := puller.Fetch(large)
	defer release()
	if _, err := g.Get(t.Context(), large); err == nil {
		t.Error("a block came from nowhere")
	} else if _, busy := ipfs.BusyUntil(err); !busy {
		t.Errorf("a file: %v", err)
	}
}
