package exchange_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
)

// An origin that is slow and goes on sending fails nobody, however many layers wait
// for each other, and sends each block about once.
func TestSlowOrigin(t *testing.T) {
	for _, test := range []struct {
		mbits, machines int
		layers          []int
		most            float64 // images that leave the origin
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
	} {
		t.Run(fmt.Sprint(test.mbits, " Mbit/s, machines: ", test.machines), func(t *testing.T) {
			if testing.Short() && (test.mbits != 5 || test.machines != 4) && (test.mbits != 10 || test.machines > 1) {
				t.Skip("minutes with the race detector")
			}
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, test.machines, exchange.Limits{}, test.layers...)
				defer s.Close()
				s.origin.Limit(float64(test.mbits * mbit))
				began := time.Now()
				s.mustPull(0, s.machines...)
				t.Logf("%.2f images, %s", s.copies(), time.Since(began))
				if s.copies() > test.most {
					t.Errorf("%.2f images left the origin, want %.2f at most", s.copies(), test.most)
				}
			})
		})
	}
}
