package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// Whoever is alone has what the system gives; of many each has a part.
func TestPartOfSendBuffers(t *testing.T) {
	b := sendBuffers{total: 64 << 20, most: 4 << 20}
	for busy, want := range map[int]int64{0: 0, 1: 0, 16: 0, 17: 2 << 20, 64: 1 << 20, 300: 128 << 10, 4096: 64 << 10} {
		if got := b.part(busy); got != want {
			t.Errorf("of %d busy each has %d bytes, want %d", busy, got, want)
		}
	}
	if got := (sendBuffers{}).part(4096); got != 0 {
		t.Errorf("where nothing is known each has %d bytes, want 0", got)
	}
	if b := systemSendBuffers(); b.total <= 0 || b.most <= 0 {
		t.Errorf("this system has %+v", b)
	}
}

// Hundreds who take nothing of an answer have the system keep little for all of them,
// while the first of them, which was alone, has what it gives.
func TestSlowReadersHaveLittle(t *testing.T) {
	const crowd, total, most = 200, 8 << 20, 4 << 20
	c := newConnections(1000, func(remote string) string { return remote }, budget.New(0).Connections, connCost)
	c.send = sendBuffers{total: total, most: most}
	url, served := endless(t, c)
	for _, n := range []int{1, crowd - 1} {
		for _, conn := range open(t, url, n, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") {
			if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
		}
	}
	ours := served()
	if len(ours) != crowd {
		t.Fatalf("%d connections, want %d", len(ours), crowd)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sum, bounded := int64(0), 0
	for _, conn := range ours {
		size := c.places[conn].sendBuffer
		if size == 0 {
			continue
		}
		bounded++
		sum += size
		if got := socketInt(t, conn, unix.SOL_SOCKET, unix.SO_SNDBUF); int64(got) != size {
			t.Errorf("a send buffer has %d bytes, want %d", got, size)
		}
	}
	if free := total / most; bounded < crowd-2*free || sum > 5*total {
		t.Errorf("%d of %d have a bounded send buffer, together %d MiB, want at most %d", bounded, crowd, sum>>20, 5*total>>20)
	}
	if last := c.places[ours[crowd-1]].sendBuffer; last != leastSendBuffer {
		t.Errorf("the last of %d has a send buffer of %d bytes, want %d", crowd, last, leastSendBuffer)
	}
	if first := c.places[ours[0]].sendBuffer; first != 0 {
		t.Errorf("the first, which was alone, has a send buffer of %d bytes, want what the system gives", first)
	}
}

// endless serves answers without end, to connections that c bounds, and gives these.
func endless(t *testing.T, c *connections) (url string, served func() []net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	boundUnsent(l)
	var mu sync.Mutex
	var ours []net.Conn
	hs := &http.Server{
		ConnState: c.track,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			mu.Lock()
			defer mu.Unlock()
			ours = append(ours, conn)
			return c.context(ctx, conn)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for piece := make([]byte, 64<<10); ; {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}),
	}
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(c.limit(l)) }()
	t.Cleanup(func() {
		hs.Close()
		<-ended
	})
	return "http://" + l.Addr().String(), func() []net.Conn {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(ours)
	}
}

// socketInt is an option of a connection.
func socketInt(t *testing.T, conn net.Conn, level, option int) (n int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), level, option) }); err != nil {
		t.Fatal(err)
	}
	return n
}
