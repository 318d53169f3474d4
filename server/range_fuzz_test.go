package server

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// FuzzRange asks for a blob of several blocks with any Range and conditions:
// what comes is what the standard library sends for the same bytes in memory.
func FuzzRange(f *testing.F) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(f, blocks)
	content := big(3<<20 + 17)
	layer := l.Blob(typeBlob, content)
	root := l.Publish(l.Image("amd64", content))
	s, err := New(Config{Local: blocks, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	etag := `"` + layer.Digest.String() + `"`
	for _, rng := range []string{
		"", "bytes=0-0", "bytes=-1", "bytes=1048576-", "bytes=1048575-1048576", "bytes=0-1,3-4", "bytes=99999999-", "bytes=-0",
		"bytes=5-2", "bytes=a-b", "items=0-1", "Bytes=0-1", "items=0-1,3-4", "7", "=0-1", "bytes=18446744073709551615-", "bytes=0-9223372036854775807", "bytes= 1 - 2 , 4-", "bytes=", "bytes=0-9,", "bytes=,", "bytes=-0,-0", "bytes=99999999-,-0",
	} {
		f.Add(rng, "", "", "")
		f.Add(rng, etag, "", "")
		f.Add(rng, "", etag, "W/"+etag)
		f.Add(rng, "*", "\"x\"", "\"x\"")
	}
	f.Fuzz(func(t *testing.T, rng, ifNoneMatch, ifMatch, ifRange string) {
		r := httptest.NewRequest(http.MethodGet, name(root)+"/app/blobs/"+layer.Digest.String(), nil)
		for name, value := range map[string]string{"Range": rng, "If-None-Match": ifNoneMatch, "If-Match": ifMatch, "If-Range": ifRange} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		got, want := httptest.NewRecorder(), httptest.NewRecorder()
		s.ServeHTTP(got, r)
		want.Header().Set("Content-Type", typeBlob)
		want.Header().Set("Etag", etag)
		http.ServeContent(want, inBytes(r, rng), "", time.Time{}, bytes.NewReader(content))
		if want.Code == http.StatusPartialContent && want.Header().Get("Content-Length") == "0" {
			want.Code = http.StatusRequestedRangeNotSatisfiable // no suffix is (RFC 9110, 14.1.2): it does not know
		}
		if noSuffixes := got.Code == http.StatusRequestedRangeNotSatisfiable && strings.Contains(rng, "-0"); got.Code != want.Code && !noSuffixes && !(got.Code == http.StatusOK && strings.Contains(rng, ",")) {
			t.Fatalf("Range %q: status %d, want %d", rng, got.Code, want.Code)
		}
		if got.Code == http.StatusPartialContent && got.Header().Get("Content-Range") == "" {
			checkParts(t, rng, got.Header(), got.Body.Bytes(), content)
		}
		if got.Code == http.StatusOK || got.Code == http.StatusPartialContent && got.Header().Get("Content-Range") != "" {
			whole, err := io.ReadAll(want.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got.Code == want.Code && !bytes.Equal(got.Body.Bytes(), whole) {
				t.Errorf("Range %q: other bytes", rng)
			}
		}
		for _, name := range []string{"Content-Range", "Content-Length"} {
			if got.Code == want.Code && got.Code < 300 && got.Header().Get("Content-Range") != "" && got.Header().Get(name) != want.Header().Get(name) {
				t.Errorf("Range %q: %s is %q, want %q", rng, name, got.Header().Get(name), want.Header().Get(name))
			}
		}
	})
}

// inBytes is r as the standard library is to see it: a unit that is not known is
// ignored (RFC 9110, 14.2), which it does not do, and has no case.
func inBytes(r *http.Request, rng string) *http.Request {
	r = r.Clone(r.Context())
	if unit, set, ok := strings.Cut(rng, "="); !ok || !strings.EqualFold(unit, "bytes") {
		r.Header.Del("Range")
	} else {
		r.Header.Set("Range", "bytes="+set)
	}
	return r
}
