package gateway

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
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

func rawCID(t testing.TB, data []byte) cid.Cid {
	t.Helper()
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: mh.SHA2_256}.Sum(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve starts a gateway with the limits that users get.
func serve(t testing.TB, h http.HandlerFunc) *Gateway { return serveWith(t, Options{}, h) }

func serveWith(t testing.TB, opts Options, h http.HandlerFunc) *Gateway {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	g, err := New(s.URL, opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A gateway is asked for raw blocks, by the path that all of them understand.
func TestGet(t *testing.T) {
	data := []byte("block")
	c := rawCID(t, data)
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/ipfs/"+c.String()+"?format=raw" || r.Header.Get("Accept") != rawType {
			http.Error(w, "wrong request", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", rawType)
		w.Write(data)
	})
	if got, err := g.Get(t.Context(), c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%q, %v", got, err)
	}
	if err := g.Has(t.Context(), c); err != nil {
		t.Errorf("Has: %v", err)
	}
}

// A gateway that lies must be caught and named.
func TestGetVerifies(t *testing.T) {
	good := bytes.Repeat([]byte("good"), 1000)
	c := rawCID(t, good)
	for name, body := range map[string][]byte{
		"other":  bytes.Repeat([]byte("evil"), 1000),
		"empty":  nil,
		"longer": append(bytes.Clone(good), 'x'),
		"huge":   make([]byte, maxBlock+1),
	} {
		for _, chunked := range []bool{false, true} {
			g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if chunked {
					w.(http.Flusher).Flush()
				}
				w.Write(body)
			})
			_, err := g.Get(t.Context(), c)
			if !errors.Is(err, ipfs.ErrCorrupt) || !strings.Contains(err.Error(), g.String()) || !strings.Contains(err.Error(), c.String()) {
				t.Errorf("%s, chunked %t: %v; want ErrCorrupt with gateway and block", name, chunked, err)
			}
			if err := g.Has(t.Context(), c); !errors.Is(err, ipfs.ErrCorrupt) {
				t.Errorf("%s: Has: %v", name, err)
			}
		}
	}
}

// Callers go on to the next source, or tell the user, by the kind of error.
func TestStatus(t *testing.T) {
	c := rawCID(t, nil)
	for status, want := range map[int]error{
		404: ipfs.ErrNotFound, 410: ipfs.ErrNotFound,
		400: ipfs.ErrUnavailable, 401: ipfs.ErrUnavailable, 403: ipfs.ErrUnavailable, 406: ipfs.ErrUnavailable,
		429: ipfs.ErrUnavailable, 500: ipfs.ErrUnavailable, 502: ipfs.ErrUnavailable, 503: ipfs.ErrUnavailable,
		504: ipfs.ErrUnavailable, 204: ipfs.ErrUnavailable, 206: ipfs.ErrUnavailable, 304: ipfs.ErrUnavailable,
	} {
		g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		})
		_, err := g.Get(t.Context(), c)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), g.String()+"/ipfs/"+c.String()) {
			t.Errorf("%d: %v; want %v with the URL", status, err, want)
		}
		if status == 429 && !strings.Contains(err.Error(), "retry after 7") {
			t.Errorf("%v; want the time to wait", err)
		}
		if err := g.Has(t.Context(), c); !errors.Is(err, want) {
			t.Errorf("%d: Has: %v", status, err)
		}
	}
}

// What a gateway says of one block must not take it away for all images; what
// says that the gateway is ill must.
func TestOneBlock(t *testing.T) {
	c := rawCID(t, nil)
	for _, test := range []struct {
		status int
		text   string
		want   bool
	}{
		{504, "no providers found", true}, {403, "", true}, {451, "on a denylist", true},
		{500, "failed to resolve /ipfs/" + c.String() + ": could not find it", true}, {502, "block " + c.String() + " was not found", true},
		{500, "disk full", false}, {502, "<html>nginx</html>", false}, {503, c.String(), false}, {429, c.String(), false}, {401, "", false},
		{404, "", false}, {410, "", false},
	} {
		g := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, test.text, test.status) })
		_, err := g.Get(t.Context(), c)
		if errors.Is(err, ipfs.ErrOneBlock) != test.want || !strings.Contains(err.Error(), http.StatusText(test.status)) {
			t.Errorf("%d %q: %v; is about one block: %t, want %t", test.status, test.text, err, !test.want, test.want)
		}
		if test.want && !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%d: %v, want ErrUnavailable too: another may have it", test.status, err)
		}
	}
}

// A pull must not hang on a gateway that does.
func TestTimeouts(t *testing.T) {
	c := rawCID(t, []byte("block"))
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	stall := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "bl")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	deaf := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done() // as when all packets are dropped
		return nil, ctx.Err()
	}}}
	for name, h := range map[string]http.HandlerFunc{"no connection": nil, "no answer": hang, "stands still": stall} {
		opts := Options{Answer: 500 * time.Millisecond, Idle: 300 * time.Millisecond, Probe: 400 * time.Millisecond}
		if h == nil {
			opts.Client = deaf
		}
		g := serveWith(t, opts, h)
		start := time.Now()
		_, err := g.Get(t.Context(), c)
		if !errors.Is(err, ipfs.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
			t.Errorf("%s: %v after %s; want ErrUnavailable", name, err, time.Since(start))
		}
		t.Log(err)
		if err := g.Has(t.Context(), c); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%s: Has: %v", name, err)
		}
		patient := serveWith(t, Options{Client: opts.Client}, h)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if _, err := patient.Get(ctx, c); !errors.Is(err, context.Canceled) || errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%s, cancelled: %v; want Canceled alone", name, err)
		}
	}
}

// A slow line is no dead one.
func TestSlowIsFine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := []byte("slowly")
		g, err := New("http://gateway.example.com", Options{Client: &http.Client{Transport: storetest.Slow{Data: data, Pause: defaultIdle - time.Second}}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if got, err := g.Get(t.Context(), rawCID(t, data)); err != nil || !bytes.Equal(got, data) || time.Since(began) <= defaultIdle {
			t.Errorf("%q, %v after %s", got, err, time.Since(began))
		}
	})
}

// Gateways redirect to subdomains; broken ones redirect for ever.
func TestRedirects(t *testing.T) {
	data := []byte("block")
	var hops atomic.Int32
	limit := int32(2)
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if hops.Add(1) <= limit {
			http.Redirect(w, r, r.URL.String()+"&again", http.StatusFound)
			return
		}
		if r.Header.Get("Accept") != rawType {
			http.Error(w, "Accept was lost", http.StatusBadRequest)
			return
		}
		w.Write(data)
	})
	if got, err := g.Get(t.Context(), rawCID(t, data)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("after two redirects: %q, %v", got, err)
	}
	hops.Store(0)
	limit = 1000
	_, err := g.Get(t.Context(), rawCID(t, data))
	if !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), "redirects") || hops.Load() > 10 {
		t.Errorf("for ever: %v after %d hops", err, hops.Load())
	}
}

// A connection cut in the middle of a block is a failure of the network, and
// no reason to call the gateway a liar.
func TestCutConnection(t *testing.T) {
	g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "a part")
		panic(http.ErrAbortHandler)
	})
	_, err := g.Get(t.Context(), rawCID(t, make([]byte, 100)))
	if !errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, ipfs.ErrCorrupt) {
		t.Errorf("%v; want ErrUnavailable", err)
	}
}

// Reading an image takes thousands of requests: they must share connections.
func TestKeepAlive(t *testing.T) {
	data := []byte("block")
	peers := map[string]bool{}
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		peers[r.RemoteAddr] = true
		if len(r.URL.Path) < 20 {
			http.NotFound(w, r)
		}
		w.Write(data)
	})
	for range 20 {
		if _, err := g.Get(t.Context(), rawCID(t, data)); err != nil {
			t.Fatal(err)
		}
		g.Has(t.Context(), rawCID(t, []byte("other")))
	}
	if len(peers) > 1 {
		t.Errorf("40 requests took %d connections", len(peers))
	}
}

func TestNew(t *testing.T) {
	root := cid.MustParse("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354")
	for in, want := range map[string]string{
		"http://127.0.0.1:8080":       "http://127.0.0.1:8080",
		"http://localhost:8080/":      "http://127.0.0.1:8080",
		"http://LOCALHOST":            "http://127.0.0.1",
		"https://gw.example/ipfs/":    "https://gw.example",
		"https://gw.example/a/b":      "https://gw.example/a/b",
		" http://localhost.example\n": "http://localhost.example",
		"http://[::1]:8080":           "http://[::1]:8080",
		"https://u:secret@gw.example": "https://xxxxx@gw.example",
		"https://token@gw.example":    "https://xxxxx@gw.example",
	} {
		g, err := New(in, Options{})
		if err != nil || g.String() != want {
			t.Errorf("%q: %v, %v; want %s", in, g, err, want)
			continue
		}
		d := digest.FromString("hello")
		if got := g.BlobURL(root, d); !strings.Contains(in, "@") && got != want+"/ipfs/"+root.String()+"/blobs/sha256/"+d.Encoded() {
			t.Errorf("%q: blob at %s", in, got)
		}
	}
	for _, in := range []string{"", "127.0.0.1:8080", "ftp://a", "http://", "http://a/?x", "http://a/#x", "/ip4/1.2.3.4/tcp/1", "http://a b"} {
		if g, err := New(in, Options{}); err == nil {
			t.Errorf("%q is taken as %s", in, g)
		}
	}
}

// Whatever a gateway sends, the reader gives the block itself or an error.
func FuzzReadBlock(f *testing.F) {
	f.Add([]byte("block"), []byte("block"), int64(5), uint8(0))
	f.Add([]byte("block"), []byte("blocks"), int64(-1), uint8(1))
	f.Add([]byte(""), []byte(""), int64(0), uint8(2))
	f.Add([]byte("a"), []byte("b"), int64(1<<40), uint8(3))
	f.Add(bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("a"), 100_000), int64(7), uint8(0))
	f.Fuzz(func(t *testing.T, want, body []byte, size int64, mode uint8) {
		var r io.Reader = bytes.NewReader(body)
		switch mode % 4 {
		case 1:
			r = iotest.OneByteReader(r)
		case 2:
			r = iotest.DataErrReader(r)
		case 3:
			r = io.MultiReader(r, iotest.ErrReader(io.ErrUnexpectedEOF))
		}
		if size < -1 {
			size = -1 // as net/http has it
		}
		data, err := readBlock(r, size, rawCID(t, want))
		if err == nil && !bytes.Equal(data, want) {
			t.Fatalf("%q passes for %q", data, want)
		}
		if err != nil && bytes.Equal(want, body) && mode%4 != 3 && size <= maxBlock {
			t.Fatalf("the block itself is refused: %v", err)
		}
	})
}
