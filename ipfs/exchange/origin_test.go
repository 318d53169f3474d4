package exchange

import (
	"fmt"
	"testing"
)

// Identities cost nothing: whoever has many on one machine must leave places to
// others, and to the same machine's next identity what is its.
func TestPlacesPerAddress(t *testing.T) {
	var limits Limits
	limits.setDefaults()
	g := newGate(limits)
	taken := 0
	for i := range 9 {
		for range limits.PerPeer {
			if _, ok := g.enter(fmt.Sprint("peer", i), "192.0.2.1"); ok {
				taken++
			}
		}
	}
	if taken != limits.Answers/2 {
		t.Errorf("one address has %d of %d places", taken, limits.Answers)
	}
	release, ok := g.enter("honest", "192.0.2.2")
	if !ok {
		t.Fatal("nothing is left for another address")
	}
	release()
	if g.total != taken || g.byOrigin["192.0.2.2"] != 0 {
		t.Errorf("%d places are taken, %d of them by who has left", g.total, g.byOrigin["192.0.2.2"])
	}
}
