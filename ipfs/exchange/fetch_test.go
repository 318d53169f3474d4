package exchange

import (
	"testing"
)

// Eight machines that pull the same at once take little more than one copy from
// who published it.
func TestFetchersShare(t *testing.T) {
	publisher := newMachine(t, "publisher", Limits{})
	publisher.uplink = &uplink{rate: 24 << 20}
	data := random(48<<20, 1)
	c := publisher.publish(data)
	pullers := fetchers(t, 8, Limits{})
	join(append(pullers, publisher)...)
	together(pullers, c, data)
	if ratio := float64(publisher.sent.Load()) / float64(len(data)); ratio > 1.6 {
		t.Errorf("the publisher sent %.2f copies", ratio)
	} else {
		t.Logf("the publisher sent %.2f copies", ratio)
	}
}
