package gateway

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// A gateway must not be able to make this machine talk to a host of its choice.
func TestRedirectElsewhereIsRefused(t *testing.T) {
	var reached atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		g := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/latest/meta-data", status)
		})
		_, err := g.Get(t.Context(), rawCID(t, []byte("block")))
		if !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), elsewhere.URL) || !strings.Contains(err.Error(), "not configured") {
			t.Errorf("%d: %v; want ErrUnavailable that names the host", status, err)
		}
	}
	if reached.Load() {
		t.Error("the other host was asked")
	}
}

func TestWithin(t *testing.T) {
	for _, test := range []struct {
		base, to string
		want     bool
	}{
		{"http://gw.example", "http://gw.example/ipfs/x", true},
		{"http://gw.example", "http://GW.example:80/ipfs/x", true},
		{"http://gw.example", "https://gw.example/ipfs/x", true},
		{"https://gw.example", "https://bafy.ipfs.gw.example/x", true},
		{"http://gw.example", "https://bafy.ipfs.gw.example/x", true},
		{"http://gw.example:8080", "http://bafy.ipfs.gw.example:8080/x", true},
		{"https://gw.example", "http://gw.example/ipfs/x", false},
		{"http://gw.example:8080", "http://gw.example:5001/api/v0/id", false},
		{"http://gw.example", "https://gw.example:8443/", false},
		{"https://gw.example", "https://a.b.ipfs.gw.example/", false},
		{"https://gw.example", "https://.ipfs.gw.example/", false},
		{"https://gw.example", "https://internal.gw.example/", false},
		{"https://gw.example", "https://evilgw.example/", false},
		{"https://gw.example", "https://gw.example.evil/", false},
		{"https://gw.example", "https://gw.example@evil/", false},
		{"http://127.0.0.1:8080", "http://169.254.169.254/latest/meta-data", false},
		{"http://gw.example", "file:///etc/passwd", false},
	} {
		base, err := url.Parse(test.base)
		if err != nil {
			t.Fatal(err)
		}
		to, err := url.Parse(test.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := within(base, to); got != test.want {
			t.Errorf("%s to %s: followed is %t, want %t", test.base, test.to, got, test.want)
		}
	}
}
