package resolver

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// FetchReferrers lists what refers to d in the layout: manifests with it as
// their subject (image-spec, "subject"), in the order of their digests. There
// are no further query filters. Errors match those of [Fetcher.Fetch].
func (f *Fetcher) FetchReferrers(ctx context.Context, d digest.Digest, opts ...remotes.FetchReferrersOpt) ([]ocispec.Descriptor, error) {
	var config remotes.FetchReferrersConfig
	for _, o := range opts {
		if err := o(ctx, &config); err != nil {
			return nil, err
		}
	}
	if err := d.Validate(); err != nil {
		return nil, classified(fmt.Errorf("%w %q: %v", errNoDigest, d, err))
	}
	l, err := f.r.open(ctx, f.root)
	if err != nil {
		return nil, classified(err)
	}
	table, err := l.allReferrers(ctx)
	if err != nil {
		return nil, classified(fmt.Errorf("looking for referrers to %s: %w", d, err))
	}
	found := []ocispec.Descriptor{}
	for _, desc := range table[d] {
		if len(config.ArtifactTypes) == 0 || slices.Contains(config.ArtifactTypes, desc.ArtifactType) {
			found = append(found, desc)
		}
	}
	return found, nil
}

const maxReferrerBytes = 64 << 20 // of manifests that are read for their subjects

// allReferrers reads every manifest of the layout once.
func (l *layout) allReferrers(ctx context.Context) (map[digest.Digest][]ocispec.Descriptor, error) {
	l.mu.Lock()
	table := l.referrers
	l.mu.Unlock()
	if table != nil {
		return table, nil
	}
	var all []ocispec.Descriptor
	if err := l.manifests(ctx, func(desc ocispec.Descriptor) bool { all = append(all, desc); return true }); err != nil {
		return nil, err
	}
	table = map[digest.Digest][]ocispec.Descriptor{}
	bytes := 0
	for _, desc := range all {
		data, err := l.Manifest(ctx, desc)
		if isAbsent(err) {
			continue // of a sparse index
		}
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
		}
		if bytes += len(data); bytes > maxReferrerBytes {
			return nil, fmt.Errorf("%w: more than %d bytes of manifests", oci.ErrCorrupt, maxReferrerBytes)
		}
		if subject, found, ok := oci.Referrer(desc, data); ok {
			table[subject] = append(table[subject], found)
		}
	}
	for _, found := range table {
		slices.SortFunc(found, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.referrers = table
	return table, nil
}
