package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// ahead is a source that gets DAGs ahead of their readers.
type ahead struct {
	*testlayout.Blocks
	broken bool

	mu       sync.Mutex
	fetches  []cid.Cid
	released int
	ahead    int // blocks read by way of Fetch
}

func (a *ahead) Fetch(c cid.Cid) (ipfs.Getter, func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fetches = append(a.fetches, c)
	return aheadReader{a}, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.released++
	}
}

type aheadReader struct{ a *ahead }

func (r aheadReader) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if r.a.broken {
		return nil, fmt.Errorf("%w: nobody has %s any more", ipfs.ErrUnavailable, c)
	}
	r.a.mu.Lock()
	r.a.ahead++
	r.a.mu.Unlock()
	return r.a.Blocks.Get(ctx, c)
}

// A DAG is got ahead as soon as a block is missing nearby, wherever its root
// is; what is near is not asked for.
func TestDAGFetchesAhead(t *testing.T) {
	data, c, s := file(t, 20)
	for name, keep := range map[string]int{"nothing is near": 0, "the root is near": 1, "half is near": 11, "all is near": len(s.order)} {
		t.Run(name, func(t *testing.T) {
			near := testlayout.NewBlocks()
			for _, c := range s.order[:keep] {
				block, err := s.Blocks.Get(t.Context(), c)
				if err == nil {
					err = near.Put(t.Context(), c, block)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			from := &ahead{Blocks: s.Blocks}
			set := New(Options{}, Near(near), Far(from))
			defer set.Close()
			if got, err := readAll(t, set, c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			want := min(1, len(s.order)-keep)
			if len(from.fetches) != want || from.released != want || want == 1 && !from.fetches[0].Equals(c) {
				t.Errorf("fetches of %v, %d released, want %d", from.fetches, from.released, want)
			}
			if missing := len(s.order) - max(keep, 1); from.ahead > missing+1 { // one occurs twice
				t.Errorf("%d blocks were asked for, %d are missing", from.ahead, missing)
			}
		})
	}
}

// Nothing is got ahead for a single block, nor by a source that did not have
// the root; where it fails, single blocks help.
func TestDAGFetchesNoMore(t *testing.T) {
	data, c, s := file(t, 5)
	from := &ahead{Blocks: s.Blocks}
	set := New(Options{}, Far(from))
	defer set.Close()
	d := set.DAG(c)
	for _, c := range s.order[:2] {
		if _, err := d.Get(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	if err := d.Close(); err != nil || len(from.fetches) > 0 {
		t.Errorf("%v, %d fetches for two blocks", err, len(from.fetches))
	}

	lacking := &ahead{Blocks: testlayout.NewBlocks()}
	other := New(Options{}, Far(lacking), Far(s.Blocks))
	defer other.Close()
	if got, err := readAll(t, other, c); err != nil || !bytes.Equal(got, data) || len(lacking.fetches) > 0 {
		t.Errorf("%d bytes, %v, %d fetches by a source without the root", len(got), err, len(lacking.fetches))
	}

	broken := &ahead{Blocks: s.Blocks, broken: true}
	third := New(Options{}, Far(broken))
	defer third.Close()
	if got, err := readAll(t, third, c); err != nil || !bytes.Equal(got, data) || broken.released != 1 {
		t.Errorf("%d bytes, %v, released %d times", len(got), err, broken.released)
	}

	closed := set.DAG(c)
	closed.Ahead()
	if err := errors.Join(closed.Close(), closed.Close()); err != nil {
		t.Error(err)
	}
	if _, err := closed.Get(t.Context(), s.order[1]); err != nil || len(from.fetches) > 0 {
		t.Errorf("%v, %d fetches after Close", err, len(from.fetches))
	}
}

// near is a source in which nothing is, and that is told of each question.
type near struct{ asked func() }

func (n near) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	n.asked()
	return nil, fmt.Errorf("block %s: %w", c, ipfs.ErrNotFound)
}

// A source that is found to lie, just as a DAG is to be got from it, is left.
func TestFetcherLiesMeanwhile(t *testing.T) {
	_, c, s := file(t, 20)
	from := Far(&ahead{Blocks: s.Blocks})
	set := New(Options{}, Near(near{func() { from.Report(t.Context(), ipfs.ErrCorrupt) }}), from)
	defer set.Close()
	dag := set.DAG(c)
	defer dag.Close()
	dag.Ahead()
	if data, err := dag.Get(t.Context(), s.order[1]); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("%d bytes, %v; want %v", len(data), err, ipfs.ErrUnavailable)
	}
}
