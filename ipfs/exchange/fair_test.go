package exchange_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/test/simnet"
)

// read reads a file as an engine does that has begun to read it, ahead of what it writes.
func read(ctx context.Context, m *simnet.Machine, c cid.Cid, w io.Writer) error {
	g, release := m.Fetch(c)
	defer release()
	f, err := ipfs.OpenFile(ctx, g, c, 16)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteTo(w)
	return err
}

// whenFirst tells when the first byte was written.
type whenFirst struct{ at time.Time }

func (f *whenFirst) Write(p []byte) (int, error) {
	if f.at.IsZero() {
		f.at = time.Now()
	}
	return len(p), nil
}

// A small layer that comes later has its share of a slow link, though large ones that
// came before are read ahead.
func TestSmallLayerBesideLargeOnes(t *testing.T) {
	for _, machines := range []int{1, 4} {
		t.Run(fmt.Sprint("machines: ", machines), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, machines, exchange.Limits{}, 60<<20, 60<<20, 3<<20)
				defer s.Close()
				s.origin.Limit(10 * mbit)
				ctx, cancel := context.WithCancel(t.Context())
				for _, m := range s.machines {
					for _, c := range s.image[:2] {
						go func() { _ = read(ctx, m, c, io.Discard) }() // it is ended
					}
				}
				time.Sleep(3 * time.Second)
				began, first := time.Now(), &whenFirst{}
				if err := read(ctx, s.machines[0], s.image[2], first); err != nil {
					t.Error(err)
				}
				t.Logf("the first byte came after %s, all after %s", first.at.Sub(began), time.Since(began))
				// Alone it takes 2.5 s, with a third of the link 7.5 s.
				if first.at.Sub(began) > 20*time.Second || time.Since(began) > 30*time.Second {
					t.Error("it waits for the others")
				}
				cancel()
				time.Sleep(5 * time.Second)
			})
		})
	}
}
