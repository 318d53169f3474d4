package resolver

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/trust"
)

// WithPolicy has nothing resolved or fetched that is neither signed as p requires nor
// reached from what is.
func WithPolicy(p *trust.Policy) Option { return func(c *config) { c.policy = p } }

// verdict tells what is signed of the layout under root; it is kept as long as that.
func (r *Resolver) verdict(ctx context.Context, root cid.Cid, l *layout.Layout) (*trust.Verdict, error) {
	if v := r.layouts.verdict(root); v != nil {
		return v, nil
	}
	v, err := r.policy.Examine(ctx, l)
	if err == nil && v.Final() {
		r.layouts.judged(root, v)
	}
	return v, err
}

// signed refuses a manifest under root that is not signed as required, or what is read as
// another content.
func (r *Resolver) signed(ctx context.Context, root cid.Cid, l *layout.Layout, d digest.Digest, manifest bool) error {
	if r.policy == nil {
		return nil
	}
	v, err := r.verdict(ctx, root, l)
	if err != nil {
		return err
	}
	if manifest {
		return v.Check(d)
	}
	return v.CheckContent(d)
}

// onlySigned leaves of descriptors those that can be fetched.
func (r *Resolver) onlySigned(ctx context.Context, root cid.Cid, l *layout.Layout, found []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	all := []ocispec.Descriptor{}
	for _, desc := range found {
		err := r.signed(ctx, root, l, desc.Digest, true)
		if err == nil {
			all = append(all, desc)
		} else if !errors.Is(err, trust.ErrUntrusted) {
			return nil, err
		}
	}
	return all, nil
}

// stay finds what a name meant before it moved to what is not signed; refused says why that
// is not given.
func (r *Resolver) stay(ctx context.Context, n ref.Name, before []cid.Cid, refused error) (*layout.Layout, ocispec.Descriptor, error) {
	now := n.Root
	for _, root := range r.kept.Before(n.Moving, before) {
		if n.Root = root; root == now {
			continue
		}
		if l, desc, err := r.resolve(ctx, n); err == nil {
			r.log.Warn("a name that moves means what is not signed: what it meant before is given", "name", n.Moving, "now", ref.Ciq(now), "given", ref.Ciq(root), "error", refused)
			return l, desc, nil
		}
	}
	return nil, ocispec.Descriptor{}, refused
}
