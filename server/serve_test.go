package server

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// serve runs Serve; stop ends it and gives its error.
func serve(t *testing.T, cfg Config) (url string, stop func() error) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	return "http://" + l.Addr().String(), func() error { cancel(); return <-done }
}

// A pull that is running when the server is told to stop is finished, and
// nothing is left behind.
func TestGracefulShutdown(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 64<<20)
	lines := &testlog.Log{}
	url, stop := serve(t, Config{Local: blocks, Gateways: []Gateway{newGateway("http://x", blocks, empty)}, Logger: lines.Logger()})
	own := &http.Client{Transport: &http.Transport{}}
	defer own.CloseIdleConnections()
	resp, err := own.Get(url + p.blob())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	waitUntil(t, func() bool { // no new connections
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, p.data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if !strings.Contains(lines.String(), "status=200 bytes=67108864") || !strings.Contains(lines.String(), "source=local") {
		t.Errorf("log: %s", lines)
	}
}

// A client that never reads does not hold the server for ever, running or
// stopping.
func TestStalledClient(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 64<<20)
	lines := &testlog.Log{}
	url, stop := serve(t, Config{Local: blocks, Logger: lines.Logger(), Limits: Limits{Stall: 50 * time.Millisecond}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET "+p.blob()+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool { return strings.Contains(lines.String(), "i/o timeout") })
	if err := stop(); err != nil {
		t.Error(err)
	}
	url, stop = serve(t, Config{Local: blocks, Logger: lines.Logger(), Limits: Limits{Grace: 50 * time.Millisecond}})
	if conn, err = net.Dial("tcp", strings.TrimPrefix(url, "http://")); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET "+p.blob()+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(lines.String(), "transfers cut at shutdown") {
		t.Errorf("log: %s", lines)
	}
}

// deadlines is a ResponseWriter that keeps the write deadlines it is given.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// A slow client is not cut as long as it takes something: each part of a block
// has its own deadline, which does not depend on how long the transfer lasts.
func TestSlowClientIsServed(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 4<<20)
	s, err := New(Config{Local: blocks, Logger: (&testlog.Log{}).Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, p.blob(), nil))
	if !bytes.Equal(w.Body.Bytes(), p.data) {
		t.Errorf("%d bytes", w.Body.Len())
	}
	if want := len(p.data)/chunk + 1; len(w.set) != want {
		t.Errorf("%d deadlines, want %d", len(w.set), want)
	}
	for i := 1; i < len(w.set); i++ {
		if !w.set[i].After(w.set[i-1]) {
			t.Errorf("deadline %d was not moved", i)
		}
	}
}

// Headers and bodies that nobody needs are not taken.
func TestGreedyRequests(t *testing.T) {
	url, stop := serve(t, Config{Local: testlayout.NewBlocks(), Logger: (&testlog.Log{}).Logger()})
	r, err := http.NewRequest(http.MethodGet, url+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Huge", strings.Repeat("x", 100<<10))
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nxx"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // ends: the server closes the connection
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 405 ") {
		t.Errorf("%q, %v", answer, err)
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// panics is a store with a bug.
type panics struct{}

func (panics) Get(context.Context, cid.Cid) ([]byte, error) { panic("a bug") }

// A bug met by one request is an error for that request and no other.
func TestPanicIsContained(t *testing.T) {
	lines := &testlog.Log{}
	p := publish(t, testlayout.NewBlocks(), 10)
	for _, cfg := range []Config{{Local: panics{}}, {Remote: []ipfs.Getter{panics{}}}} {
		cfg.Logger = lines.Logger()
		s := start(t, cfg)
		s.get(p.manifest()).expect(t, http.StatusInternalServerError, codeUnknown)
		s.get("/v2/").expect(t, http.StatusOK, "")
	}
	if !strings.Contains(lines.String(), "a bug") || !strings.Contains(lines.String(), "serve_test.go") {
		t.Errorf("log: %s", lines)
	}
}

// Many clients at once, with a gateway that comes and goes: no wrong byte, no
// error, and a layout is opened once.
func TestConcurrentPulls(t *testing.T) {
	blocks := testlayout.NewBlocks()
	images := []published{publish(t, blocks, 1<<20), publish(t, blocks, 1<<20+1), publish(t, blocks, 3<<20)}
	gw := newGateway("http://gateway", blocks, well)
	limits := quick
	limits.Found, limits.Retry = time.Millisecond, time.Millisecond
	s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: limits})
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := range 20 {
				p := images[(worker+i)%len(images)]
				gw.mood.Store(int32((worker + i) % 3))
				if got := s.get(p.manifest()); got.StatusCode != http.StatusOK {
					t.Errorf("manifest: %d %s", got.StatusCode, got.body)
				}
				got := s.get(p.blob())
				if got.StatusCode != http.StatusTemporaryRedirect && (got.StatusCode != http.StatusOK || !bytes.Equal(got.body, p.data)) {
					t.Errorf("blob: %d, %d bytes", got.StatusCode, len(got.body))
				}
			}
		})
	}
	wg.Wait()
}

// Clients that ask for the same unknown image at the same time cost one
// look-up.
func TestSingleFlight(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 10)
	s := start(t, Config{Local: blocks, Limits: quick})
	s.get(p.manifest()).expect(t, http.StatusOK, "")
	alone := blocks.Gets()
	blocks2 := testlayout.NewBlocks()
	blocks.CopyTo(blocks2)
	s = start(t, Config{Local: blocks2, Limits: quick})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { s.get(p.manifest()).expect(t, http.StatusOK, "") })
	}
	wg.Wait()
	if got := blocks2.Gets(); got > alone*3+50 { // each asks once whether the root is local
		t.Errorf("%d blocks read by 50 clients, %d by one", got, alone)
	}
}

// A server without a source, or with nonsense in its Config, does not start.
func TestNewRefuses(t *testing.T) {
	for _, cfg := range []Config{{}, {Local: testlayout.NewBlocks(), LocalAhead: -1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New(%+v) gave no error", cfg)
		}
	}
}
