package resolver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/trust"
)

// layouts are the roots that were opened last. What is known of one never goes
// stale.
type layouts struct {
	mu     sync.Mutex
	opened []openedRoot // last used at the end
}

type openedRoot struct {
	root cid.Cid
	*layout.Layout
	verdict *trust.Verdict // nil before it is known
}

const maxLayouts = 16 // held open; an index.json has 4 MiB at most

func (s *layouts) get(root cid.Cid) *layout.Layout {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.opened, func(o openedRoot) bool { return o.root.Equals(root) })
	if i < 0 {
		return nil
	}
	o := s.opened[i]
	s.opened = append(slices.Delete(s.opened, i, i+1), o)
	return o.Layout
}

func (s *layouts) put(root cid.Cid, l *layout.Layout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.opened) == maxLayouts {
		s.opened = slices.Delete(s.opened, 0, 1)
	}
	s.opened = append(s.opened, openedRoot{root: root, Layout: l})
}

// verdict is what is known of a root's signatures; nil for nothing.
func (s *layouts) verdict(root cid.Cid) *trust.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.opened, func(o openedRoot) bool { return o.root.Equals(root) }); i >= 0 {
		return s.opened[i].verdict
	}
	return nil
}

// judged keeps what is known of a root's signatures.
func (s *layouts) judged(root cid.Cid, v *trust.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.opened, func(o openedRoot) bool { return o.root.Equals(root) }); i >= 0 {
		s.opened[i].verdict = v
	}
}

// open gives the layout under root.
func (r *Resolver) open(ctx context.Context, root cid.Cid) (*layout.Layout, error) {
	if l := r.layouts.get(root); l != nil {
		return l, nil
	}
	l, err := layout.Open(ctx, r.blocks, root)
	if err != nil {
		return nil, fmt.Errorf("opening the layout %s: %w", ref.Ciq(root), err)
	}
	r.layouts.put(root, l)
	return l, nil
}

// isAbsent tells that a layout lacks a blob; a source that failed may have it.
func isAbsent(err error) bool {
	return errors.Is(err, ipfs.ErrNotFound) && !errors.Is(err, ipfs.ErrUnavailable)
}
