package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/test/simnet"
)

// Who reads a file whose only holder dies is told so in time, though another file goes on
// coming from somebody else for minutes.
func TestOriginDiesBesideAnother(t *testing.T) {
	for death, die := range deaths {
		for _, machines := range []int{1, 2, 4} {
			t.Run(fmt.Sprint(death, ", machines: ", machines), func(t *testing.T) {
				if testing.Short() && machines > 1 {
					t.Skip("minutes with the race detector")
				}
				synctest.Test(t, func(t *testing.T) {
					s := newScene(t, machines, exchange.Limits{}, 30<<20)
					defer s.Close()
					other := s.Machine("other origin", simnet.Rates{Up: 10 * mbit, Down: uplink}, exchange.Limits{})
					data := make([]byte, 100<<20)
					_, _ = rand.NewChaCha8([32]byte{7}).Read(data) // never fails
					big, err := other.Publish(t.Context(), bytes.NewReader(data))
					if err != nil {
						t.Fatal(err)
					}
					s.Connect(append(s.machines, other)...)
					ctx, cancel := context.WithCancel(t.Context())
					for _, m := range s.machines {
						go func() { _ = read(ctx, m, big, io.Discard) }() // it is ended
					}
					time.Sleep(2 * time.Second)
					var died time.Time
					s.origin.After(10<<20, func() { died = time.Now(); die(s.origin)() })
					for _, err := range s.pull(t.Context(), 0, s.machines...) {
						if !errors.Is(err, ipfs.ErrUnavailable) && !errors.Is(err, ipfs.ErrNotFound) {
							t.Error(err)
						}
					}
					// what had left the origin may go round among the machines for a while
					if took := time.Since(died); took > 30*time.Second {
						t.Errorf("it took %s", took)
					}
					t.Log(time.Since(died))
					cancel()
					time.Sleep(5 * time.Second)
				})
			})
		}
	}
}
