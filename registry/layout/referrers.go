package layout

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// referrers are those of each subject, in the order of their digests.
type referrers struct {
	of   map[digest.Digest][]ocispec.Descriptor
	cost int64 // bytes of memory, roughly
}

// Limits of what is read and kept to list referrers.
const (
	maxReferrerBytes = 128 << 20 // of manifests
	maxReferrerTable = 8 << 20   // of descriptors, as they are kept in memory
)

// Referrers implements [registry.Reader]. The first question reads every manifest
// that index.json leads to; what is broken or absent refers to nothing. Errors
// match [oci.ErrLimit], or [ipfs.ErrUnavailable] while a manifest cannot be had.
func (n *Names) Referrers(ctx context.Context, d digest.Digest, artifactTypes ...string) ([]ocispec.Descriptor, error) {
	table, err := n.referrers(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing what refers to %s: %w", d, err)
	}
	found := []ocispec.Descriptor{}
	for _, desc := range table.of[d] {
		if len(artifactTypes) == 0 || slices.Contains(artifactTypes, desc.ArtifactType) {
			found = append(found, desc)
		}
	}
	return found, nil
}

// referrers reads them once.
func (n *Names) referrers(ctx context.Context) (referrers, error) {
	return n.table.get(ctx, func() (referrers, bool, error) {
		r := &refereeing{n: n, ctx: ctx, seen: map[digest.Digest]bool{}, table: referrers{of: map[digest.Digest][]ocispec.Descriptor{}, cost: 512}}
		err := r.all()
		return r.table, true, err
	})
}

// refereeing goes through the manifests of a layout.
type refereeing struct {
	n     *Names
	ctx   context.Context
	seen  map[digest.Digest]bool
	bytes int
	table referrers
}

// all reads the manifests that index.json leads to, those nearest to it first.
func (r *refereeing) all() error {
	level := make([]ocispec.Descriptor, 0, len(r.n.entries))
	for _, e := range r.n.entries {
		level = append(level, e.Descriptor)
	}
	for depth := 0; len(level) > 0 && depth <= oci.MaxDepth; depth++ {
		var next []ocispec.Descriptor
		for _, desc := range level {
			below, err := r.manifest(desc)
			if err != nil {
				return err
			}
			next = append(next, below...)
		}
		level = next
	}
	for _, found := range r.table.of {
		slices.SortFunc(found, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	}
	return nil
}

// manifest notes what one refers to and gives the children of an index.
func (r *refereeing) manifest(desc ocispec.Descriptor) (below []ocispec.Descriptor, err error) {
	if r.seen[desc.Digest] || desc.Digest.Validate() != nil || desc.MediaType != "" && !oci.IsAnyManifest(desc.MediaType) {
		return nil, nil
	}
	if r.seen[desc.Digest] = true; len(r.seen) > oci.MaxManifests {
		return nil, fmt.Errorf("%w: more than %d manifests", oci.ErrLimit, oci.MaxManifests)
	}
	data, err := r.n.contents.Small(r.ctx, desc.Digest)
	if err != nil && isSettled(err) {
		return nil, nil
	}
	if err != nil { // the layout has it, and nobody else at the moment: a list without it would be wrong
		return nil, fmt.Errorf("%w: manifest %s: %w", ipfs.ErrUnavailable, desc.Digest, err)
	}
	release, err := ipfs.HoldDecoding(r.ctx, data)
	if err != nil {
		return nil, err
	}
	defer release()
	if subject, found, ok := oci.Referrer(desc, data); ok {
		r.table.of[subject] = append(r.table.of[subject], found)
		r.table.cost += oci.Weight(found)
	}
	if r.bytes += len(data); r.bytes > maxReferrerBytes || r.table.cost > maxReferrerTable {
		return nil, fmt.Errorf("%w: more than %d bytes of manifests or %d of descriptors", oci.ErrLimit, maxReferrerBytes, maxReferrerTable)
	}
	if !oci.IsIndex(cmp.Or(desc.MediaType, oci.SniffMediaType(data))) {
		return nil, nil
	}
	index, err := oci.ParseIndex(data)
	if err != nil {
		return nil, nil // what is no index has no children
	}
	return index.Manifests, nil
}
