package gateway_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
)

// Clients are sent to a gateway that gives ranges of files, and to no other: who is
// sent to one that gives blocks alone gets 406 for each layer.
func TestByPath(t *testing.T) {
	file := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("image2ipfs"))
	}
	for name, c := range map[string]struct {
		answer      http.HandlerFunc
		ok, unknown bool
	}{
		"serves files":        {answer: file, ok: true},
		"trustless alone":     {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotAcceptable) }},
		"knows no ranges":     {answer: func(w http.ResponseWriter, r *http.Request) { r.Header.Del("Range"); file(w, r) }},
		"gives another range": {answer: func(w http.ResponseWriter, r *http.Request) { r.Header.Set("Range", "bytes=1-3"); file(w, r) }},
		"sends clients away": {answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, unknown: true},
		"is overloaded":          {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, unknown: true},
		"is behind a dead proxy": {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(c.answer)
			defer web.Close()
			g, err := gateway.New(web.URL, gateway.Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = g.ByPath(t.Context())
			if (err == nil) != c.ok || errors.Is(err, ipfs.ErrUnavailable) != c.unknown {
				t.Errorf("%v", err)
			}
		})
	}
}
