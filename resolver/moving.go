package resolver

import (
	"context"
	"errors"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// WithNames has names that move found, IPNS names (k51…/app:1) and domains with a
// DNSLink; without it they are no names.
func WithNames(names ipfs.Names) Option { return func(c *config) { c.names = names } }

// parse reads a name and finds its root, and those that a name that moves meant before,
// the latest first.
func (r *Resolver) parse(ctx context.Context, name string) (n ref.Name, before []cid.Cid, err error) {
	n, err = ref.ParseName(name)
	if err == nil || r.names == nil {
		return n, nil, err
	}
	moving, failed := ref.ParseMoving(name, r.names.Listed)
	if errors.Is(failed, ref.ErrNotMoving) {
		return n, nil, err
	}
	if failed != nil {
		return n, nil, failed
	}
	m, err := r.names.Find(ctx, moving.Moving)
	if err != nil {
		return n, nil, err
	}
	if m.Stale != nil {
		r.log.Warn("a name that moves could not be asked for: the last answer counts", "name", moving.Moving, "since", m.Got, "error", m.Stale)
	}
	moving.Root = m.Root
	return moving, r.kept.Before(moving.Moving, m.Before), nil
}

// roots are those in which a fetcher looks for a content: the one of its name, and those
// that it meant before, so that a pull goes on while the name moves.
func (f *Fetcher) roots() []cid.Cid { return slices.Concat([]cid.Cid{f.root}, f.before) }
