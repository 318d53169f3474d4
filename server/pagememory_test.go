package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ref"
)

// asks asks a server as a client at an address, until ctx is done.
func (s *site) asks(ctx context.Context, remote, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.RemoteAddr, r.Host = remote, "localhost"
	w := httptest.NewRecorder()
	s.s.ServeHTTP(w, r)
	return w
}

// What the page reads and keeps of images for whoever looks is part of the process's
// budget: it waits where others have all of that, and what is kept is charged.
func TestPageIsCharged(t *testing.T) {
	memory := budget.New(0)
	s, roots := startPage(t, func(c *Config) { c.Memory, c.Catalog = memory, true })
	image := "/?root=" + ref.Ciq(roots[0].CID)
	for name, share := range map[string]*budget.Share{"reading": memory.Reading, "decoding": memory.Decoding} {
		var releases []func()
		for _, origin := range []string{"one", "other"} { // the second has what the first must leave
			held, _ := share.Held()
			release, ok := share.Try(budget.With(t.Context(), &budget.Holder{Origin: origin}), share.Size()-held)
			if !ok {
				t.Fatalf("%s has none of the memory for %s", origin, name)
			}
			releases = append(releases, release)
		}
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan *httptest.ResponseRecorder, 1)
		go func() { answer <- s.asks(ctx, "192.0.2.1:9", image) }()
		waitUntil(t, func() bool {
			return len(answer) > 0 || slices.ContainsFunc(memory.Given(), func(g budget.Given) bool { return g.Waiting > 0 })
		})
		cancel()
		if w := <-answer; w.Code != http.StatusTooManyRequests {
			t.Errorf("while others have all memory for %s: %d, want 429: %.300s", name, w.Code, w.Body)
		}
		for _, release := range releases {
			release()
		}
	}
	before, _ := memory.Caches.Held()
	if w := s.asks(t.Context(), "192.0.2.1:9", image); w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	if after, _ := memory.Caches.Held(); after-before < 1<<10 {
		t.Errorf("caches were charged with %d bytes for an image that was shown", after-before)
	}
}

// Who listens to pushes from one address, as often as he can, keeps nobody else from it.
func TestListenersHaveShares(t *testing.T) {
	s, _ := startPage(t, func(c *Config) { c.Catalog = true })
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	listen := func(remote string) {
		all.Go(func() { s.asks(ctx, remote, "/?view=events") })
	}
	listeners := func() int {
		_, n := s.s.listeners.Held()
		return n
	}
	for range maxListeners {
		listen("192.0.2.1:9")
	}
	waitUntil(t, func() bool { return listeners() == maxListeners*7/8 })
	for i := range maxListeners / 8 {
		listen(fmt.Sprintf("192.0.2.%d:9", i+2))
	}
	waitUntil(t, func() bool { return listeners() == maxListeners })
	if w := s.asks(ctx, "192.0.2.1:9", "/?view=events"); w.Code != http.StatusTooManyRequests {
		t.Errorf("one more of who has most: %d, want 429", w.Code)
	}
	// Whoever comes when all are taken is given a place of who has most.
	seen := make(chan int, 1)
	last, leave := context.WithCancel(ctx)
	defer leave()
	all.Go(func() { seen <- s.asks(last, "198.51.100.1:9", "/?view=events").Code })
	waitUntil(t, func() bool {
		select {
		case code := <-seen:
			t.Errorf("whoever comes when all are taken: %d", code)
			return true
		default:
		}
		return s.s.listeners.Of("198.51.100.1") == 1
	})
}
