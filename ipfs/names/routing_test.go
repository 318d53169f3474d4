package names

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// That a routing server has no record is what it says by 404 or a text, not what somebody
// between here and there does with a page.
func TestRoutingWithoutRecord(t *testing.T) {
	for kind, c := range map[string]struct {
		status int
		want   error
	}{
		"application/json":          {http.StatusNotFound, ipfs.ErrNotFound},
		"text/plain; charset=utf-8": {http.StatusOK, ipfs.ErrNotFound},
		"text/html":                 {http.StatusOK, ipfs.ErrUnavailable},
		ipfs.TypeRecord:             {http.StatusOK, nil},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(c.status)
		}))
		defer s.Close()
		r, err := NewRouting(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Record(t.Context(), "name"); !errors.Is(err, c.want) || c.want != ipfs.ErrNotFound && errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%s: %v, want %v", kind, err, c.want)
		}
	}
}
