package registry

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Tagged is a manifest by one of its tags.
type Tagged struct {
	ocispec.Descriptor
	Tag string
}

// TaggedBy finds what refers to a manifest by cosign's tags in a repository:
// signatures, attestations and SBOMs. Errors are those of [Reader.Resolve], but for
// tags that there are not.
func TaggedBy(ctx context.Context, from Reader, repository string, d digest.Digest) (all []Tagged, err error) {
	for _, suffix := range oci.ReferrerSuffixes[1:] { // the first is the distribution spec's
		tag := oci.ReferrerTagOf(d, suffix)
		desc, err := from.Resolve(ctx, ref.Name{Repository: repository, Tag: tag})
		if errors.Is(err, oci.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Tagged{desc, tag})
	}
	return all, nil
}
