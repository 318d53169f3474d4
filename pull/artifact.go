package pull

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// CheckEngine refuses for a container engine what is no image: a signature, an
// attestation, a Helm chart, a build cache or another artifact, which engines take
// and then fail to run, or refuse without a word of what it is. The error matches
// [oci.ErrNotFound].
func (i *Image) CheckEngine(ctx context.Context) error {
	return i.refuseArtifact(ctx, i.Target, "which no engine runs")
}

// refuseArtifact says of a manifest or index that is no image what it is.
func (i *Image) refuseArtifact(ctx context.Context, desc ocispec.Descriptor, why string) error {
	if !oci.IsAnyManifest(desc.MediaType) {
		return nil
	}
	data, err := i.layout.Files().Manifest(ctx, desc)
	if err != nil {
		return err
	}
	if a := oci.ArtifactOf(data); a != nil {
		return artifactError(desc.Digest, a, why)
	}
	return nil
}

func artifactError(d digest.Digest, a *oci.Artifact, why string) error {
	advice := "pull --to oci:DIR or oci-archive:FILE takes it as it is"
	if reader := a.ReadBy("REGISTRY/NAME"); reader != "" {
		advice = reader + "; " + advice
	}
	return fmt.Errorf("%w: %s is no image but %s, %s: %s", oci.ErrNotFound, d, a.Is, why, advice)
}
