package resolver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// spoil lets a good gateway's answers through a recorder and has them changed.
func spoil(change func(w http.ResponseWriter, status int, header http.Header, body []byte)) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			good.ServeHTTP(rec, r)
			change(w, rec.Code, rec.Header(), rec.Body.Bytes())
		})
	}
}

func stalling(http.Handler) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// copyHeader leaves lengths to net/http.
func copyHeader(w http.ResponseWriter, h http.Header) {
	for k, v := range h {
		if k != "Content-Length" {
			w.Header()[k] = v
		}
	}
}

// badGateways are what a gateway can do wrong, and how errors call that.
var badGateways = []struct {
	name, says string
	wrap       func(http.Handler) http.Handler
}{
	{"flips one bit", "integrity", spoil(func(w http.ResponseWriter, status int, h http.Header, body []byte) {
		copyHeader(w, h)
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		w.WriteHeader(status)
		w.Write(body)
	})},
	{"truncates", "EOF", spoil(func(w http.ResponseWriter, status int, h http.Header, body []byte) {
		w.Header().Set("Content-Type", h.Get("Content-Type"))
		w.Header().Set("Content-Length", h.Get("Content-Length"))
		w.WriteHeader(status)
		w.Write(body[:len(body)/2])
	})},
	{"truncates and claims that it is all", "integrity", spoil(func(w http.ResponseWriter, status int, h http.Header, body []byte) {
		copyHeader(w, h)
		w.WriteHeader(status)
		w.Write(body[:len(body)/2])
	})},
	{"never answers", "waited 8s for an answer", stalling},
	{"stops in the middle", "waited 6s for more", func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			good.ServeHTTP(rec, r)
			w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
			w.WriteHeader(rec.Code)
			w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
	}},
	{"answers 504", "504 Gateway Timeout", func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no providers", http.StatusGatewayTimeout) })
	}},
	{"redirects in a loop", "more than 5 redirects", func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) })
	}},
	{"answers with a login page", "text/html", func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<html>please log in</html>"))
		})
	}},
}

// A gateway that nobody trusts must not be able to stop a pull as long as
// another source works, nor to slip anything in.
func TestBadGatewayIsWorkedAround(t *testing.T) {
	im := publish(t, 1)
	for _, bad := range badGateways {
		for _, cars := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, CARs %t", bad.name, cars), func(t *testing.T) {
				t.Parallel()
				r := newResolver(t, WithBlocks(gatewayAt(t, i2i(t, im.blocks, bad.wrap), cars), gatewayAt(t, i2i(t, im.blocks, nil), cars)))
				if err := im.pull(t, r); err != nil {
					t.Errorf("pull beside a good gateway: %v", err)
				}
			})
		}
	}
}

// Alone, it is named with what it did.
func TestBadGatewayIsNamed(t *testing.T) {
	im := publish(t, 1)
	for _, bad := range badGateways {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			url := i2i(t, im.blocks, bad.wrap)
			r := newResolver(t, WithBlocks(gatewayAt(t, url, true)))
			err := im.pull(t, r)
			if err == nil || !strings.Contains(err.Error(), url) || !strings.Contains(err.Error(), bad.says) {
				t.Errorf("error %v, want one that names %s and says %q", err, url, bad.says)
			}
			if !errdefs.IsUnavailable(err) && !errdefs.IsDataLoss(err) {
				t.Errorf("error %v is neither unavailable nor data loss for containerd", err)
			}
		})
	}
}

// A gateway that turns bad in the middle of a blob, also in a CAR.
func TestGatewayTurnsBad(t *testing.T) {
	im, other := publish(t, 2), publish(t, 3)
	for _, bad := range badGateways {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			turns := func(good http.Handler) http.Handler {
				spoiled := bad.wrap(good)
				requests := 0
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if requests++; requests > 10 || r.URL.Query().Get("format") == "car" {
						spoiled.ServeHTTP(w, r)
						return
					}
					good.ServeHTTP(w, r)
				})
			}
			serial := func(h http.Handler) http.Handler { // requests is not locked
				lock := make(chan struct{}, 1)
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					select {
					case lock <- struct{}{}:
						defer func() { <-lock }()
					case <-time.After(20 * time.Millisecond):
						http.Error(w, "busy", http.StatusServiceUnavailable)
						return
					}
					h.ServeHTTP(w, r)
				})
			}
			url := i2i(t, im.blocks, func(h http.Handler) http.Handler { return serial(turns(h)) })
			r := newResolver(t, WithBlocks(gatewayAt(t, url, true), gatewayAt(t, i2i(t, other.blocks, nil), true), gatewayAt(t, i2i(t, im.blocks, nil), false)))
			if err := im.pull(t, r); err != nil {
				t.Error(err)
			}
		})
	}
}

// A gateway whose CARs and blocks are those of another image.
func TestGatewayServesAnotherImage(t *testing.T) {
	im, other := publish(t, 4), publish(t, 5)
	swap := func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = "/ipfs/" + other.root.String()
			good.ServeHTTP(w, r)
		})
	}
	both := testlayout.NewBlocks()
	im.blocks.CopyTo(both)
	other.blocks.CopyTo(both)
	onlyCARs := func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("format") == "car" {
				r.URL.RawQuery = "format=car"
				swap(good).ServeHTTP(w, r)
				return
			}
			good.ServeHTTP(w, r)
		})
	}
	for name, wrap := range map[string]func(http.Handler) http.Handler{"all": swap, "only CARs": onlyCARs} {
		t.Run(name, func(t *testing.T) {
			bad := i2i(t, both, wrap)
			r := newResolver(t, WithBlocks(gatewayAt(t, bad, true), gatewayAt(t, i2i(t, im.blocks, nil), false)))
			if err := im.pull(t, r); err != nil {
				t.Error(err)
			}
			alone := newResolver(t, WithBlocks(gatewayAt(t, bad, true)))
			if err := im.pull(t, alone); err == nil || !strings.Contains(err.Error(), "sent a false block") && !strings.Contains(err.Error(), "integrity") {
				t.Errorf("with that gateway alone: %v", err)
			}
		})
	}
}
