package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// A CAR that cannot be had is an error that says whose fault it is: whoever
// chooses among sources asks a liar no more, and another one instead of the slow.
func TestStreamFails(t *testing.T) {
	data := []byte("block")
	c := rawCID(t, data)
	send := func(w http.ResponseWriter, data []byte) {
		w.Header().Set("Content-Type", car.MediaType+"; version=1")
		if out, err := car.NewWriter(w, c); err == nil {
			err = out.Block(c, data)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	}
	stop := errors.New("enough")
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		yield  error
		want   error
	}{
		"whole":          {answer: func(w http.ResponseWriter, _ *http.Request) { send(w, data) }},
		"reader's error": {answer: func(w http.ResponseWriter, _ *http.Request) { send(w, data) }, yield: stop, want: stop},
		"false block":    {answer: func(w http.ResponseWriter, _ *http.Request) { send(w, []byte("other")) }, want: ipfs.ErrCorrupt},
		"cut": {answer: func(w http.ResponseWriter, _ *http.Request) {
			send(w, data)
			io.WriteString(w, "\x80")
		}, want: ipfs.ErrUnavailable},
		"not there":    {answer: http.NotFound, want: ipfs.ErrNotFound},
		"broken":       {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, want: ipfs.ErrUnavailable},
		"no CARs":      {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotAcceptable) }, want: errors.ErrUnsupported},
		"another kind": {answer: func(w http.ResponseWriter, _ *http.Request) { w.Write(data) }, want: errors.ErrUnsupported},
		"too busy": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}, want: ipfs.ErrUnavailable},
	} {
		g := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() != "/ipfs/"+c.String()+"?format=car&dag-scope=entity" {
				t.Errorf("asks for %s", r.URL)
			}
			test.answer(w, r)
		})
		blocks := 0
		err := g.Stream(t.Context(), c, func(got cid.Cid, _ []byte) error {
			blocks++
			if !got.Equals(c) {
				t.Errorf("%s: block %s", name, got)
			}
			return test.yield
		})
		if !errors.Is(err, test.want) || test.want == nil && (err != nil || blocks != 1) {
			t.Errorf("%s: %v after %d blocks, want %v", name, err, blocks, test.want)
		}
		if test.want == stop && errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%s: %v blames the gateway", name, err)
		}
	}
}

// stalled gives the header of an answer and a body that never ends.
type stalled struct{ kind string }

func (s stalled) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.kind == "" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	body, out := io.Pipe()
	context.AfterFunc(r.Context(), func() { out.CloseWithError(r.Context().Err()) })
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{"Content-Type": {s.kind}}, Body: body, ContentLength: -1}, nil
}

// A gateway that stands still is given up, be it before its answer or within it.
func TestStreamStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rawCID(t, []byte("block"))
		for kind, want := range map[string]time.Duration{"": 40 * time.Second, car.MediaType: 15 * time.Second} {
			g, err := New("http://gateway.example.com", Options{Client: &http.Client{Transport: stalled{kind}}})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err = g.Stream(t.Context(), c, func(cid.Cid, []byte) error { return nil })
			if !errors.Is(err, ipfs.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != want {
				t.Errorf("%q: %v after %s, want it after %s", kind, err, time.Since(began), want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			go func() { <-time.After(time.Millisecond); cancel() }()
			if err := g.Stream(ctx, c, func(cid.Cid, []byte) error { return nil }); !errors.Is(err, context.Canceled) || errors.Is(err, ipfs.ErrUnavailable) {
				t.Errorf("%q, canceled: %v", kind, err)
			}
			cancel()
		}
	})
}
