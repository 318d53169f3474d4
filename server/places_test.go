package server

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Shares belong to addresses, and behind a proxy to those who come by it: what
// strangers write into a header must not count.
func TestOriginOfRequests(t *testing.T) {
	s := start(t, Config{Local: testlayout.NewBlocks(), Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:1234", "", "192.0.2.1"}, {"192.0.2.1:1", "198.51.100.1", "192.0.2.1"}, {"[::ffff:192.0.2.1]:1", "", "192.0.2.1"},
		{"[2001:db8:1:2:3::4]:1", "", "2001:db8:1:2::/64"}, {"10.0.0.1:1", "", "10.0.0.1"}, {"10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"}, {"10.0.0.1:1", "nonsense", "10.0.0.1"}, {"@", "", "@"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := s.s.requestOrigin(r); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	if a, b := s.s.connOrigin("10.0.0.1:1"), s.s.connOrigin("10.0.0.1:2"); a == b {
		t.Errorf("all who come by a proxy share %s", a)
	}
}

// One address with all requests that it can open at once, on few connections,
// keeps nobody else out, and never whoever asks whether the server is well.
func TestRequestsHaveShares(t *testing.T) {
	s := start(t, Config{Local: testlayout.NewBlocks(), Limits: Limits{Memory: 128 << 20}})
	ask := func(remote, path string) int {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr, r.ProtoMajor = remote, 2
		w := httptest.NewRecorder()
		s.s.ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests && (w.Body.Len() > 0 || w.Header().Get("Retry-After") == "") {
			t.Errorf("refused with %d bytes, header %v", w.Body.Len(), w.Header())
		}
		return w.Code
	}
	for {
		if _, ok := s.s.memory.Requests.Try(budget.With(t.Context(), &budget.Holder{Origin: "192.0.2.1"}), requestCost); !ok {
			break
		}
	}
	if held, n := s.s.memory.Requests.Held(); held > 128<<20/8 || held != int64(n)*requestCost {
		t.Errorf("%d requests of one address take %d bytes", n, held)
	}
	for _, c := range []struct {
		remote, path string
		want         int
	}{{"192.0.2.1:9", "/v2/", 429}, {"192.0.2.2:9", "/v2/", 200}, {"192.0.2.1:9", "/healthz", 200}, {"192.0.2.1:9", "/metrics", 200}} {
		if got := ask(c.remote, c.path); got != c.want {
			t.Errorf("%s of %s: %d, want %d", c.path, c.remote, got, c.want)
		}
	}
}

// Slow readers of one address make room for others, and one that moves nothing for
// anybody; whoever moves is cut for nobody of his own address.
func TestWhoMakesRoom(t *testing.T) {
	c := newConnections(10, func(remote string) string { return remote }, budget.New(0).Connections, connCost)
	c.mu.Lock()
	defer c.mu.Unlock()
	add := func(origin string, moved time.Duration) net.Conn {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close(); theirs.Close() })
		p := &place{origin: origin, release: func() {}}
		p.moved.Store(time.Now().Add(-moved).UnixNano())
		c.places[ours] = p
		c.open[origin]++
		c.total++
		return ours
	}
	var many []net.Conn
	for i := range 6 {
		many = append(many, add("many", time.Duration(i)*100*time.Millisecond))
	}
	few := add("few", time.Second)
	if got := c.victim("many"); got != nil {
		t.Error("one is cut for its own address")
	}
	if got := c.victim("other"); got != many[5] || c.total != 6 || c.open["many"] != 5 {
		t.Errorf("another address gets no place of those who have most: %d are left", c.total)
	}
	still := add("few", 2*floorTime)
	if got := c.victim("many"); got != nil {
		t.Error("who has most cuts what stands still of who has less")
	}
	if got := c.victim("other"); got != still {
		t.Error("another connection is closed than that which has stood still for longest")
	}
	c.setIdle(few, c.places[few], true)
	c.mu.Unlock()
	if c.dropIdle("many") {
		t.Error("those who have most take the place of one who has just come, and whose request is on its way")
	}
	c.mu.Lock()
	c.setIdle(many[0], c.places[many[0]], true)
	c.setIdle(many[1], c.places[many[1]], true)
	for _, want := range []net.Conn{many[0], many[1], few} {
		c.mu.Unlock()
		if !c.dropIdle("other") || c.places[want] != nil {
			t.Error("another connection without a request is closed than the oldest of those who have most")
		}
		c.mu.Lock()
	}
	c.mu.Unlock()
	if c.dropIdle("other") {
		t.Error("one with a request is closed")
	}
	c.mu.Lock()
}

// A full house of one address's requests must not keep another's connection out.
func TestFullOfOneAddress(t *testing.T) {
	blocks := testlayout.NewBlocks()
	large := publish(t, blocks, 64<<20)
	s := serveOn(t, Config{Local: blocks, Limits: Limits{MaxConns: 8, Grace: time.Millisecond}}, "127.0.0.1:0")
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", s.url[len("http://"):])
		if err != nil {
			t.Skipf("this machine has no address %s: %v", from, err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for range 12 {
		fmt.Fprintf(dial("127.0.0.2"), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", large.blob())
	}
	conn := dial("127.0.0.1")
	fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err := conn.SetReadDeadline(time.Now().Add(4 * time.Second)); err != nil { // less than floorTime
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("the other address waits: %v", err)
	}
}
