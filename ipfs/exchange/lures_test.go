package exchange_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/car"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
)

// trickles sends no more of a block than who shares a very slow uplink with many.
func trickles(w http.ResponseWriter, r *http.Request, root cid.Cid) {
	_, err := car.NewWriter(w, root)
	if err == nil {
		_, err = w.Write([]byte{0x80, 0x80, 0x80, 0x01}) // a section of 2 MiB
	}
	for err == nil && r.Context().Err() == nil {
		pause(r, 4*time.Second)
		_, err = w.Write(make([]byte, 4<<10+1))
	}
}

// Who sends slowly on purpose, and says that this is how long it takes, holds nobody up
// for whom there is somebody faster.
func TestWhoTricklesIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		state string
		liars int
		most  time.Duration
	}{
		"a copy":                             {"holds", 1, 35 * time.Second},
		"a copy that tells how slow it is":   {"holds\npace 120000", 1, 35 * time.Second},
		"an owner that tells how slow it is": {"holds\nown 1\npace 120000", 1, 35 * time.Second},
		"four owners":                        {"holds\nown 1", 4, 60 * time.Second},
		"one that fetches":                   {hasAll("has"), 1, 35 * time.Second},
		"four that fetch":                    {hasAll("has"), 4, 60 * time.Second},
		"four that fetch and get":            {hasAll("gets"), 4, 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			for _, machines := range []int{1, 4} {
				if testing.Short() && machines > 1 {
					continue // minutes with the race detector
				}
				synctest.Test(t, func(t *testing.T) {
					s := newScene(t, machines, exchange.Limits{}, 20<<20)
					defer s.Close()
					s.liars(test.liars, test.state, trickles)
					began := time.Now()
					s.mustPull(0, s.machines...)
					t.Logf("%.2f images, %s", s.copies(), time.Since(began))
					if took := time.Since(began); took > test.most {
						t.Errorf("machines: %d: it took %s", machines, took)
					}
				})
			}
		})
	}
}
