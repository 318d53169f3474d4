package resolver

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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
	found, err := l.Referrers(ctx, d, config.ArtifactTypes...)
	if err != nil {
		return nil, classified(err)
	}
	if found, err = f.r.onlySigned(ctx, f.root, l, found); err != nil {
		return nil, classified(err)
	}
	return found, nil
}
