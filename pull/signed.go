package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/trust"
)

// examine finds out what of the layout is signed as required, first of all what was asked
// for; nothing where nothing has to be.
func (i *Image) examine(ctx context.Context, policy *trust.Policy, asked digest.Digest) (err error) {
	if policy != nil {
		i.verdict, err = policy.Examine(ctx, i.layout, asked)
	}
	return err
}

// requireSigned refuses the image unless all of what is pulled that is an image is signed
// as required, and leaves out what refers to it and is not. Errors match
// [trust.ErrUntrusted], or are those of finding out.
func (i *Image) requireSigned(ctx context.Context) error {
	if i.verdict == nil {
		return nil
	}
	images, err := i.layout.Images(ctx)
	if err != nil {
		return err
	}
	isImage := map[digest.Digest]bool{i.Target.Digest: true}
	for _, image := range images {
		isImage[image.Descriptor.Digest] = true
	}
	var kept []ocispec.Descriptor
	for _, desc := range i.index.Manifests {
		err := i.verdict.Check(desc.Digest)
		switch {
		case err == nil:
			kept = append(kept, desc)
		case isImage[desc.Digest] || !errors.Is(err, trust.ErrUntrusted):
			return err
		}
	}
	if len(kept) == 0 {
		return fmt.Errorf("%w: nothing of %s is signed", trust.ErrUntrusted, i.layout)
	}
	if len(kept) < len(i.index.Manifests) {
		i.index, i.indexJSON = oci.NewIndex(kept), nil
	}
	return nil
}

// RequireWhole refuses the image unless all that is in its layout is signed, where that is
// required: who keeps the layout keeps all of it. Errors match [trust.ErrUntrusted], or are
// those of finding out.
func (i *Image) RequireWhole(ctx context.Context) error {
	if i.verdict == nil {
		return nil
	}
	return i.verdict.CheckAll(ctx, i.layout.Files(), nil)
}

// onlySigned leaves of descriptors those that may be pulled.
func (i *Image) onlySigned(found []ocispec.Descriptor) []ocispec.Descriptor {
	if i.verdict == nil {
		return found
	}
	return slices.DeleteFunc(slices.Clone(found), func(desc ocispec.Descriptor) bool { return i.verdict.Check(desc.Digest) != nil })
}
