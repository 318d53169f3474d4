package kubo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	shell "github.com/ipfs/go-ipfs-api"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// fakeKubo answers version, and all else by h.
func fakeKubo(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v0/version" {
			io.WriteString(w, `{"Version":"0.42.0"}`)
			return
		}
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func dialFake(t testing.TB, h http.HandlerFunc) *Store {
	t.Helper()
	e, err := Dial(t.Context(), fakeKubo(t, h), Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// An error that comes after the answer has begun must not pass for success.
func TestStreamError(t *testing.T) {
	e := dialFake(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", streamError)
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/dag/import") {
			io.WriteString(w, `{"Root":{"Cid":{"/":"`+emptyDir+`"},"PinErrorMsg":""}}`)
			w.(http.Flusher).Flush()
		}
		w.Header().Set(streamError, "disk is full")
	})
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Commit(t.Context(), ipfs.Root{CID: cid.MustParse(emptyDir)})
	if err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("Commit: %v; want the trailer's error", err)
	}
	if _, err := e.Roots(t.Context()); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("Roots: %v; want the trailer's error", err)
	}
	if _, err := e.Get(t.Context(), cid.MustParse(emptyDir)); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("Get: %v; want the trailer's error", err)
	}
}

const emptyDir = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"

// A Kubo that reads nothing must not hold a publisher who has given up.
func TestPutHonoursContext(t *testing.T) {
	release := make(chan struct{})
	e := dialFake(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) }) // before the server closes
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for i := range 100 {
		data := bytes.Repeat([]byte{byte(i)}, 1<<20)
		if err = tx.Put(ctx, rawCID(t, data), data); err != nil {
			break
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Put: %v, want DeadlineExceeded", err)
	}
	if err := tx.Abort(); err != nil {
		t.Error(err)
	}
}

// Bytes that a broken or hostile Kubo sends must not reach an image.
func TestGetVerifies(t *testing.T) {
	good := []byte("good")
	for name, body := range map[string][]byte{"other": []byte("evil"), "short": good[:3], "endless": make([]byte, maxBlock+2)} {
		e := dialFake(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
		if _, err := e.Get(t.Context(), rawCID(t, good)); !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

// Whoever answers in place of a gateway must not decide whom this machine asks.
func TestGatewayRedirectsElsewhere(t *testing.T) {
	var reached atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(elsewhere.Close)
	gateway := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	t.Cleanup(gateway.Close)
	host, port, _ := net.SplitHostPort(gateway.Listener.Addr().String())
	e := dialFake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"Key":"Addresses.Gateway","Value":"/ip4/`+host+`/tcp/`+port+`"}`)
	})
	if url, err := e.Gateway(t.Context()); !errors.Is(err, ipfs.ErrUnavailable) || reached.Load() || !strings.Contains(err.Error(), elsewhere.URL) {
		t.Errorf("%q, %v, asked elsewhere: %t", url, err, reached.Load())
	}
	for to, want := range map[string]bool{
		"http://gw.example:80/x": true, "http://bafkqaaa.ipfs.gw.example:80/": true,
		"http://ipfs.gw.example:80/": false, "http://evil.example/?.ipfs.gw.example:80": false, "http://bafkqaaa.ipfs.gw.example:5001/": false,
	} {
		from, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://gw.example:80/ipfs/bafkqaaa", nil)
		next, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
		if err := stayAtGateway(next, []*http.Request{from}); (err == nil) != want {
			t.Errorf("%s: %v, may be followed: %t", to, err, want)
		}
	}
}

// A Kubo that hangs, before its answer or in the midst of it, is left for another
// source.
func TestOfflineGetEnds(t *testing.T) {
	data := []byte("a block")
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	stall := func(w http.ResponseWriter, r *http.Request) {
		w.Write(data[:3])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for name, h := range map[string]http.HandlerFunc{"no answer": hang, "stands still": stall} {
		e := dialFake(t, h)
		e.silence = 50 * time.Millisecond
		for _, g := range []ipfs.Getter{e, e.Offline()} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := g.Get(ctx, rawCID(t, data))
			if !errors.Is(err, ipfs.ErrUnavailable) || ctx.Err() != nil || !strings.Contains(err.Error(), "in time") {
				t.Errorf("%s: %v, want ErrUnavailable", name, err)
			}
			cancel()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		began := time.Now()
		if _, err := e.Online().Get(ctx, rawCID(t, data)); err == nil || time.Since(began) < 200*time.Millisecond {
			t.Errorf("%s, online: %v after %s, want that Kubo may search as long as the caller waits", name, err, time.Since(began))
		}
		cancel()
	}
}

// A Kubo that goes on sending is waited for, though all takes longer than it may be silent.
func TestSlowAnswer(t *testing.T) {
	e := dialFake(t, nil)
	synctest.Test(t, func(t *testing.T) {
		data := []byte("a block")
		e.shell = shell.NewShellWithClient(e.api.url, &http.Client{Transport: storetest.Slow{Data: data, Pause: e.silence - time.Second}})
		began := time.Now()
		if got, err := e.Get(t.Context(), rawCID(t, data)); err != nil || !bytes.Equal(got, data) || time.Since(began) <= e.silence {
			t.Errorf("%q, %v after %s", got, err, time.Since(began))
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"Root":{"Cid":{"/":"` + emptyDir + `"},"PinErrorMsg":""}}` + "\n" + `{"Stats":{"BlockCount":3,"BlockBytesCount":9}}`))
	f.Add([]byte(`{"Root":null,"Stats":null}`))
	f.Add([]byte(`{"Root":{"Cid":null}}{"Stats":{"BlockCount":-1}}`))
	f.Add([]byte(`{"Stats":{"BlockCount":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseAnswer(bytes.NewReader(data))
		if err == nil && !bytes.Contains(data, []byte(`{`)) {
			t.Errorf("%q is taken as an answer", data)
		}
		for c := range a.roots {
			if !c.Defined() {
				t.Error("an undefined root")
			}
		}
	})
}
