package exchange_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/test/simnet"
)

// A stranger who asks everybody to get all of a file for it, again and again, has nobody
// get from the origin what another gets, whether it says that it fetches the file or not.
func TestStrangerAsksAll(t *testing.T) {
	for header, name := range map[string]string{"0": "a stranger", "1": "one that says it fetches the file"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, 4, exchange.Limits{}, five[1:3]...)
				defer s.Close()
				stranger := s.Machine("stranger", simnet.Rates{}, exchange.Limits{})
				ctx, cancel := context.WithCancel(t.Context())
				var asking sync.WaitGroup
				for _, root := range s.image {
					data, err := s.origin.Get(t.Context(), root)
					if err != nil {
						t.Fatal(err)
					}
					links, _ := ipfs.Links(root, data)
					var list strings.Builder
					for _, l := range links {
						list.WriteString(l.Cid.String() + "\n")
					}
					for _, m := range s.machines {
						asking.Go(func() {
							for ctx.Err() == nil {
								r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://peer"+exchange.Path+root.String()+"?relay=1", strings.NewReader(list.String()))
								if err != nil {
									t.Error(err)
									return
								}
								r.Header.Set("Image2ipfs-Fetching", header)
								if resp, err := stranger.To(m).RoundTrip(r); err == nil {
									_, _ = io.Copy(io.Discard, resp.Body)
									_ = resp.Body.Close()
								}
								time.Sleep(100 * time.Millisecond)
							}
						})
					}
				}
				s.mustPull(0, s.machines...)
				cancel()
				asking.Wait()
				if s.copies() > 1.15 {
					t.Errorf("%.2f images left the origin", s.copies())
				}
			})
		})
	}
}
