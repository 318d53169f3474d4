package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// counter is a source that counts how often each block was got, and gives leaves only
// when it is told to.
type counter struct {
	*testlayout.Blocks
	mu    sync.Mutex
	asked map[cid.Cid]int
	gate  chan struct{} // a leaf waits for it to be closed; nil for none
}

func (c *counter) Get(ctx context.Context, id cid.Cid) ([]byte, error) {
	c.mu.Lock()
	c.asked[id]++
	gate := c.gate
	c.mu.Unlock()
	if gate != nil && id.Prefix().Codec == cid.Raw {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return c.Blocks.Get(ctx, id)
}

// take gives what was asked for since the last call: how many blocks, and the bytes of
// the leaves among them.
func (c *counter) take(t *testing.T) (blocks int, leaves int64) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, times := range c.asked {
		data, err := c.Blocks.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		blocks += times
		if id.Prefix().Codec == cid.Raw {
			leaves += int64(times * len(data))
		}
	}
	c.asked = map[cid.Cid]int{}
	return blocks, leaves
}

// Of a blob that is elsewhere a range costs the blocks that it lies in: none behind its
// end, and none that the range before it has brought.
func TestRangesFromElsewhere(t *testing.T) {
	from := &counter{Blocks: testlayout.NewBlocks(), asked: map[cid.Cid]int{}}
	p := publish(t, from.Blocks, 24<<20)
	s := start(t, Config{Remote: []ipfs.Getter{from}, Open: true, NoRedirect: true})
	s.do(http.MethodHead, p.blob()).expect(t, http.StatusOK, "")
	ask := func(what, rng string, most int64) {
		t.Helper()
		got := s.get(p.blob(), "Range: bytes="+rng).expect(t, http.StatusPartialContent, "")
		if len(got.body) == 0 {
			t.Errorf("%s: nothing came", what)
		}
		if n, bytes := from.take(t); bytes > most {
			t.Errorf("%s: %d blocks, %d bytes of leaves, want at most %d", what, n, bytes, most)
		}
	}
	const mib = 1 << 20 // a leaf
	from.take(t)
	ask("50 KB", "5000000-5049999", 2*mib)
	ask("the next 50 KB", "5050000-5099999", mib)
	ask("the same once more", "5000000-5099999", 0)
	ask("the end, where the index is", "-51", mib)
	ask("1.5 MiB", fmt.Sprintf("%d-%d", 8*mib, 8*mib+3*mib/2-1), 2*mib)
	ask("several", fmt.Sprintf("%d-%d,%d-%d", 12*mib, 12*mib+9, 16*mib+5, 16*mib+6), 2*mib)
	if n, bytes := from.take(t); n > 0 || bytes > 0 {
		t.Errorf("%d blocks came behind the answers", n)
	}
	ask("all of 4 MiB", fmt.Sprintf("%d-%d", 18*mib, 22*mib-1), 4*mib)
}

// Requests for the same block at the same time get it once; who goes away ends nothing
// for the others.
func TestOverlappingRangesShareBlocks(t *testing.T) {
	from := &counter{Blocks: testlayout.NewBlocks(), asked: map[cid.Cid]int{}}
	p := publish(t, from.Blocks, 8<<20)
	s := start(t, Config{Remote: []ipfs.Getter{from}, Open: true, NoRedirect: true})
	s.do(http.MethodHead, p.blob()).expect(t, http.StatusOK, "")
	from.take(t)
	from.gate = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { // the first, which does not wait
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+p.blob(), nil)
		if err != nil {
			gone <- err
			return
		}
		r.Header.Set("Range", "bytes=3000000-3000009")
		resp, err := client.Do(r)
		if err == nil {
			err = errors.Join(resp.Body.Close(), errors.New("it was answered"))
		} else {
			err = nil
		}
		gone <- err
	}()
	waitUntil(t, func() bool { return s.s.foreign.shared.count() == 1 })
	const n = 8
	answers := make(chan reply, n)
	for i := range n {
		go func() { answers <- s.get(p.blob(), fmt.Sprintf("Range: bytes=%d-%d", 3000000+i, 3000100+i)) }()
	}
	waitUntil(t, func() bool { return s.s.foreign.shared.count() == n+1 })
	cancel()
	if err := <-gone; err != nil {
		t.Error(err)
	}
	close(from.gate)
	for range n {
		if got := <-answers; got.StatusCode != http.StatusPartialContent || !bytes.Contains(p.data, got.body) {
			t.Errorf("%d with %d bytes", got.StatusCode, len(got.body))
		}
	}
	if _, bytes := from.take(t); bytes != 1<<20 {
		t.Errorf("%d bytes of leaves came, want one leaf", bytes)
	}
}

// Blocks of a whole blob wait while one of a small range is on its way, but not for
// ever.
func TestSmallRangesGoFirst(t *testing.T) {
	turns := &turns{}
	leave := turns.enter()
	yielded := make(chan struct{})
	began := time.Now()
	go func() {
		turns.yield(t.Context())
		close(yielded)
	}()
	select {
	case <-yielded:
		if time.Since(began) < maxYield {
			t.Error("a block of a whole blob did not wait")
		}
	case <-time.After(time.Minute):
		t.Error("it waits for ever")
	}
	again := make(chan struct{})
	turns.enter()()
	go func() {
		turns.yield(context.Background())
		close(again)
	}()
	leave()
	<-again
	turns.yield(t.Context()) // nobody is there
}

// count is how many wait for blocks that are on their way.
func (s *sharing) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.under {
		n += b.waiting
	}
	return n
}
