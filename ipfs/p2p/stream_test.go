package p2p

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// When a node is closed, nothing reads from its store any more.
func TestCloseWaitsForAnswers(t *testing.T) {
	began := make(chan struct{})
	var ended atomic.Bool
	a, err := New(t.Context(), listening(Config{Handler: func(*Node) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(began)
			<-r.Context().Done()
			time.Sleep(50 * time.Millisecond) // what it does at last
			ended.Store(true)
		})
	}}))
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, Config{Peers: a.Addrs()})
	ready(t, b)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://peer/", nil)
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := b.Peers()[0].RoundTrip(r); err == nil {
			resp.Body.Close()
		}
	}()
	select {
	case <-began:
	case <-asked:
		t.Fatal("the request ended before it was answered")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if !ended.Load() {
		t.Error("the node is closed, but a request is still being answered")
	}
	<-asked
}

// taker is a connection that counts how often it is given new time.
type taker struct {
	net.Conn
	taken, deadlines int
}

func (c *taker) SetWriteDeadline(time.Time) error { c.deadlines++; return nil }

func (c *taker) Write(p []byte) (int, error) { c.taken += len(p); return len(p), nil }

// A peer that is slow, but takes what it is sent, is not cut off within a block.
func TestSlowPeerHasTime(t *testing.T) {
	c := &taker{}
	n, err := (&answer{Conn: c}).Write(make([]byte, 1<<20+1))
	if err != nil || n != 1<<20+1 || c.taken != n {
		t.Errorf("%d bytes written, %d taken, %v", n, c.taken, err)
	}
	if want := 1<<20/writePiece + 1; c.deadlines != want {
		t.Errorf("%d deadlines for 1 MiB, want %d", c.deadlines, want)
	}
}

// A peer that takes just enough not to stand still cannot have a block kept in
// memory for minutes; one with a slow link gets all of it.
func TestTricklingPeer(t *testing.T) {
	for name, test := range map[string]struct {
		rate  int // pieces a minute
		whole bool
	}{"trickles": {4, false}, "is slow": {12, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				var reads sync.WaitGroup
				reads.Go(func() {
					for piece := make([]byte, writePiece); ; time.Sleep(time.Minute / time.Duration(test.rate)) {
						if _, err := io.ReadFull(there, piece); err != nil {
							return
						}
					}
				})
				began := time.Now()
				a := &answer{Conn: here}
				for range 3 { // blocks
					_, err := a.Write(make([]byte, 1<<20))
					if whole := err == nil; whole != test.whole {
						t.Errorf("after %s: %v", time.Since(began), err)
					}
					if err != nil {
						break
					}
				}
				if held := time.Since(began); !test.whole && held > 2*time.Minute {
					t.Errorf("it held a block for %s", held)
				}
				here.Close()
				reads.Wait()
			})
		})
	}
}

// A peer cannot fill memory with the header of an answer.
func TestEndlessHeader(t *testing.T) {
	a := start(t, listening(Config{Handler: func(*Node) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		})
	}}))
	b := start(t, Config{Peers: a.Addrs()})
	ready(t, b)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://peer/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := b.Peers()[0].RoundTrip(r); err == nil {
		resp.Body.Close()
		t.Error("a header of 1 MiB was taken")
	}
}
