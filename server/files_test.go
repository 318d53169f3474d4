package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/process"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// peers is a source that gets whole files ahead of their readers.
type peers struct {
	*testlayout.Blocks
	mu       sync.Mutex
	fetches  []cid.Cid
	released int
}

func (p *peers) Fetch(c cid.Cid) (ipfs.Getter, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetches = append(p.fetches, c)
	return p.Blocks, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.released++
	}
}

// told gives how many fetches there were since the last call, and waits until all
// have ended: the client has the answer a moment before.
func (p *peers) told(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := process.Await(ctx, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.released != len(p.fetches) {
			return fmt.Errorf("%d fetches, %d released", len(p.fetches), p.released)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.fetches)
	p.fetches, p.released = nil, 0
	return n
}

// own is a store that tells what it has.
type own struct{ *testlayout.Blocks }

func (o own) Has(ctx context.Context, c cid.Cid) bool {
	_, err := o.Get(ctx, c)
	return err == nil
}

// Blobs of peers are fetched as a whole when they are read, be it that only a
// part is missing; not for a HEAD or a few bytes, nor when they are here.
func TestBlobsOfPeers(t *testing.T) {
	from := &peers{Blocks: testlayout.NewBlocks()}
	p := publish(t, from.Blocks, 6<<20)
	store := own{testlayout.NewBlocks()}
	s := start(t, Config{Local: store, Remote: []ipfs.Getter{from}, Open: true, Limits: quick})
	read := func(want int) {
		t.Helper()
		if got := s.get(p.blob()).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, p.data) {
			t.Errorf("%d bytes", len(got.body))
		}
		if n := from.told(t); n != want {
			t.Errorf("%d fetches for a blob, want %d", n, want)
		}
	}
	s.do(http.MethodHead, p.blob()).expect(t, http.StatusOK, "")
	if got := s.get(p.blob(), "Range: bytes=100-199").expect(t, http.StatusPartialContent, ""); !bytes.Equal(got.body, p.data[100:200]) {
		t.Errorf("range: %d bytes", len(got.body))
	}
	if n := from.told(t); n != 0 {
		t.Errorf("%d fetches for a HEAD and 100 bytes", n)
	}
	read(1)
	if got := s.get(p.blob(), "Range: bytes=3000000-").expect(t, http.StatusPartialContent, ""); !bytes.Equal(got.body, p.data[3000000:]) {
		t.Errorf("range: %d bytes", len(got.body))
	}
	if n := from.told(t); n != 1 {
		t.Errorf("%d fetches for half a blob", n)
	}
	from.CopyTo(store.Blocks)
	read(0)

	// Parts that go missing later are got from peers again.
	l, err := s.s.roots.open(t.Context(), p.root)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Locate(t.Context(), p.layer)
	if err != nil {
		t.Fatal(err)
	}
	last := b.CID
	err = ipfs.Blocks(t.Context(), store, b.CID, 0, func(c cid.Cid, _ int64) bool { last = c; return true })
	if err != nil {
		t.Fatal(err)
	}
	store.Drop(last)
	read(0) // the file was whole a moment ago: the single block is asked for
	read(1)
}

// A look at a blob, or a part of it, costs the blocks it needs and not all that
// would be read ahead for the whole: 16 MiB from Kubo for one HEAD.
func TestReadsNoMoreThanAskedFor(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 40<<20)
	near := start(t, Config{Local: blocks, LocalAhead: 16})
	far := start(t, Config{Remote: []ipfs.Getter{blocks}, Open: true, NoRedirect: true})
	gateway := "/ipfs/" + p.root.String() + "/blobs/sha256/" + p.layer.Encoded()
	for _, test := range []struct {
		method, rng string
		most        int // blocks: of directories, the file's first, its last, leaves
	}{
		{http.MethodHead, "bytes=0-", 10}, {http.MethodGet, "bytes=0-0", 10}, {http.MethodGet, "bytes=-5", 12}, {http.MethodGet, "bytes=5000000-9000000", 16},
	} {
		for _, path := range []string{p.blob(), gateway} {
			for _, s := range []*site{near, far} {
				if path == gateway && s == far { // gives what is in its store alone
					continue
				}
				s.do(test.method, path, "Range: "+test.rng) // opens the layout
				before := blocks.Gets()
				s.do(test.method, path, "Range: "+test.rng).expect(t, http.StatusPartialContent, "")
				if n := blocks.Gets() - before; n > test.most {
					t.Errorf("%s %s, %s: %d blocks read", test.method, path, test.rng, n)
				}
			}
		}
	}
}

func TestRangeLength(t *testing.T) {
	const all = 1 << 62
	for header, want := range map[string]int64{
		"": all, "bytes=0-0": 1, "bytes=5-9": 5, "bytes=5-": all, "bytes=-7": 7, "bytes=9-5": all, "bytes=x-y": all, "bytes=--5": all,
		"bytes=0-9223372036854775807": all, "bytes=-9223372036854775807": all, "items=0-1": all,
	} {
		if got := rangeLength(header); got != want {
			t.Errorf("%q: %d, want %d", header, got, want)
		}
	}
}
