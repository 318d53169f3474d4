package sources

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// breakable is a getter that can be put out of order.
type breakable struct {
	ipfs.Getter
	down atomic.Bool
}

func (b *breakable) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if b.down.Load() {
		return nil, fmt.Errorf("%w: block %s: no answer", ipfs.ErrUnavailable, c)
	}
	return b.Getter.Get(ctx, c)
}

// A set of sources, a healer and one source after the other give blocks as a single
// source does.
func TestGetterSuite(t *testing.T) {
	for name, combine := range map[string]func(t *testing.T, empty, full ipfs.Getter) ipfs.Getter{
		"set, near": func(t *testing.T, empty, full ipfs.Getter) ipfs.Getter {
			s := New(Options{}, Near(empty), Near(full))
			t.Cleanup(func() { s.Close() })
			return s
		},
		"set, far": func(t *testing.T, empty, full ipfs.Getter) ipfs.Getter {
			s := New(Options{}, Far(empty), Far(full))
			t.Cleanup(func() { s.Close() })
			return s
		},
		"first": func(_ *testing.T, empty, full ipfs.Getter) ipfs.Getter { return ipfs.First(empty, full) },
		"healer": func(t *testing.T, empty, full ipfs.Getter) ipfs.Getter {
			h := NewHealer(full, &mender{}, New(Options{}, Far(empty)), func(cid.Cid) {})
			t.Cleanup(func() { h.Close() })
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.RunGetter(t, func(t *testing.T) storetest.Source {
				blocks := testlayout.NewBlocks()
				lying := &storetest.Lying{Getter: blocks}
				full := &breakable{Getter: lying}
				empty := &breakable{Getter: testlayout.NewBlocks()}
				s := storetest.Source{
					Getter: combine(t, empty, full),
					Put: func(t testing.TB, c cid.Cid, data []byte) {
						if err := blocks.Put(t.Context(), c, data); err != nil {
							t.Fatal(err)
						}
					},
					Down: func(testing.TB) { full.down.Store(true); empty.down.Store(true) },
				}
				if name == "healer" {
					s.Lie = lying.Lie
				}
				return s
			})
		})
	}
}

// Of a set, each source is blamed for what it did: nobody has the block only if all
// of them say so.
func TestSetTellsOfEachSource(t *testing.T) {
	c := block(t)
	set, _ := newSet(t, Options{}, lacking, lying, failing)
	_, err := set.Get(t.Context(), c)
	for _, want := range []error{ipfs.ErrNotFound, ipfs.ErrCorrupt, ipfs.ErrUnavailable} {
		if !errors.Is(err, want) {
			t.Errorf("%v does not match %v", err, want)
		}
	}
}
