package gateway

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// A gateway that says how long it wants to be left alone is taken at its word,
// within reason.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
		for _, test := range []struct {
			status int
			value  string
			want   time.Duration // 0 for none
		}{
			{429, "7", 7 * time.Second}, {503, "7", 7 * time.Second}, {503, date(time.Minute), time.Minute},
			{429, "86400", maxBusy}, {429, date(time.Hour), maxBusy},
			{429, "", usualBusy}, {429, "0", usualBusy}, {429, "-1", usualBusy}, {429, "soon", usualBusy}, {429, "1e9", usualBusy},
			{429, "99999999999999999999", usualBusy}, {429, date(-time.Minute), usualBusy}, {503, "", 0}, {503, "soon", 0}, {500, "7", 0}, {404, "7", 0}, {200, "7", 0},
		} {
			busy := checkBusy(&http.Response{StatusCode: test.status, Header: http.Header{"Retry-After": {test.value}}})
			switch {
			case busy == nil && test.want != 0, busy != nil && time.Until(busy.Until) != test.want:
				t.Errorf("%d with %q: %v, want %s", test.status, test.value, busy, test.want)
			case busy != nil && !errors.Is(busy, ipfs.ErrUnavailable):
				t.Errorf("%v does not match ErrUnavailable", busy)
			}
		}
	})
}
