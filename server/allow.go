package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Allow decides which roots a server answers for, whatever else it could get.
type Allow interface {
	// Allowed tells whether root may be served. It is asked by each request.
	// Errors match [ipfs.ErrUnavailable].
	Allowed(ctx context.Context, root cid.Cid) (bool, error)
}

// Only allows a fixed list of roots.
func Only(roots ...cid.Cid) Allow { return only(keys(roots)) }

type only map[string]bool

func (o only) Allowed(_ context.Context, root cid.Cid) (bool, error) { return o[rootKey(root)], nil }

// keys is the set of roots, whichever way their CIDs are written.
func keys(roots []cid.Cid) map[string]bool {
	set := map[string]bool{}
	for _, c := range roots {
		set[rootKey(c)] = true
	}
	return set
}

func rootKey(c cid.Cid) string { return cid.NewCidV1(c.Type(), c.Hash()).KeyString() }

// AnyOf allows what one of several allows.
func AnyOf(all ...Allow) Allow { return anyOf(all) }

type anyOf []Allow

func (a anyOf) Allowed(ctx context.Context, root cid.Cid) (bool, error) {
	for _, one := range a {
		if ok, err := one.Allowed(ctx, root); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

const (
	pinnedPause = 200 * time.Millisecond // between two looks, however many unknown roots are asked for
	pinnedFresh = 5 * time.Second        // after which a removed root is noticed
)

// Pinned allows the roots that list gives, which is what a store keeps at the
// time: one published a moment ago is allowed, one that was removed is not for
// longer than seconds. A list that comes with an error that matches
// [ipfs.ErrCorrupt] counts as far as it goes.
func Pinned(list func(context.Context) ([]cid.Cid, error), o Options) Allow {
	return &pinned{list: list, log: silent.Logger(o.Logger), looking: make(chan struct{}, 1)}
}

type pinned struct {
	list    func(context.Context) ([]cid.Cid, error)
	log     *slog.Logger
	looking chan struct{} // one who looks at a time

	mu    sync.Mutex
	roots map[string]bool
	begun time.Time // of the last look that has ended
}

func (p *pinned) Allowed(ctx context.Context, root cid.Cid) (bool, error) {
	asked := time.Now()
	key := rootKey(root)
	ok, begun := p.known(key)
	if ok && asked.Sub(begun) < pinnedFresh {
		return true, nil
	}
	select {
	case p.looking <- struct{}{}:
		defer func() { <-p.looking }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	// Another look, begun after this question, has the answer already.
	if ok, begun = p.known(key); begun.After(asked) {
		return ok, nil
	}
	pause := time.NewTimer(pinnedPause - time.Since(begun))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if err := p.look(ctx); err != nil {
		return false, fmt.Errorf("%w: which images are kept cannot be told: %w", ipfs.ErrUnavailable, err)
	}
	ok, _ = p.known(key)
	return ok, nil
}

func (p *pinned) known(key string) (ok bool, begun time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.roots[key], p.begun
}

func (p *pinned) look(ctx context.Context) error {
	begun := time.Now()
	roots, err := p.list(ctx)
	if err != nil && len(roots) == 0 {
		return err
	}
	if err != nil {
		p.log.Warn("some records of published images cannot be read", "error", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roots, p.begun = keys(roots), begun
	return nil
}

// permit refuses roots that this server does not answer for, before anything
// is looked up.
func (s *Server) permit(ctx context.Context, root cid.Cid) error {
	if s.cfg.Allow == nil {
		return nil
	}
	ok, err := s.cfg.Allow.Allowed(ctx, root)
	switch {
	case err != nil:
		return absent(codeUnavailable, err)
	case !ok:
		return errorf(codeDenied, "%s is not among the images that this server serves", spell(root))
	}
	return nil
}

// spell is how messages name a root, which may be no sha2-256 one.
func spell(root cid.Cid) string {
	if root.Prefix().MhType != multihash.SHA2_256 {
		return clip(root.String())
	}
	return ref.Ciq(root)
}

// within gives the blocks of the own store that a request for what lies below root
// may read. Who limits the roots limits what is reached from them, not how the
// first CID is written: a root that carries its own content (identity) is its own
// to show, but what it links to is reached from no allowed root.
// Errors have the code DENIED, also those of the blocks.
func (s *Server) within(ctx context.Context, root cid.Cid) (ipfs.Getter, error) {
	err := s.permit(ctx, root)
	if err == nil {
		err = s.allSigned(ctx, root)
	}
	switch {
	case err == nil:
		return withIdentity{s.local}, nil
	case root.Prefix().MhType == multihash.IDENTITY:
		return withIdentity{refused{}}, nil
	}
	return nil, err
}

// refused is a store of what is reached from no allowed root.
type refused struct{}

func (refused) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	return nil, errorf(codeDenied, "%s is reached from no image that this server serves", c)
}
