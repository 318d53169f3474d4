package exchange_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
)

// An origin that is slow and goes on sending fails nobody, however many layers wait
// for each other, and sends each block about once.
func TestSlowOrigin(t *testing.T) {
	for _, test := range []struct {
		mbits    float64
		machines int
		layers   []int
		most     float64 // images that leave the origin
	}{
		{10, 1, five[:2], 1.05},
		{10, 4, five[:2], 1.3},
		{10, 8, five[:2], 1.3},
		{5, 1, five[:2], 1.05},
		{5, 4, five[:2], 1.3},
		{5, 8, five[:2], 1.3},
		{2, 1, five[1:3], 1.05},
		{2, 4, five[1:3], 1.3},
		{2, 8, five[1:3], 2},
		{2, 16, five[3:4], 2.5},
		{2, 32, five[3:4], 2.5},
		{1, 8, five[3:4], 2.5},
		{0.5, 4, []int{4 << 20}, 2.5},
	} {
		t.Run(fmt.Sprint(test.mbits, " Mbit/s, machines: ", test.machines), func(t *testing.T) {
			if testing.Short() && (test.mbits != 5 || test.machines != 4) && (test.mbits != 10 || test.machines > 1) {
				t.Skip("minutes with the race detector")
			}
			// Whom each machine asks first is chance, and of thirty crowds one goes beyond
			// what three in a row never do.
			copies := math.Inf(1)
			for range 3 {
				if copies > test.most {
					copies = min(copies, slowPull(t, test.mbits, test.machines, test.layers))
				}
			}
			if copies > test.most {
				t.Errorf("%.2f images left the origin at best, want %.2f at most", copies, test.most)
			}
		})
	}
}

// slowPull has machines pull from an origin with a slow uplink, and gives how many images
// left it.
func slowPull(t *testing.T, mbits float64, machines int, layers []int) (copies float64) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, machines, exchange.Limits{}, layers...)
		defer s.Close()
		s.origin.Limit(mbits * mbit)
		began := time.Now()
		s.mustPull(0, s.machines...)
		copies = s.copies()
		t.Logf("%.2f images, %s", copies, time.Since(began))
	})
	return copies
}
