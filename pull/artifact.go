package pull

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// CheckEngine refuses for a container engine what is no image: a signature, an
// attestation, a Helm chart or another artifact, which engines take and then fail
// to run, or refuse without a word of what it is. The error matches [oci.ErrNotFound].
func (i *Image) CheckEngine(ctx context.Context) error {
	if !oci.IsManifest(i.Target.MediaType) {
		return nil
	}
	m, err := i.manifest(ctx, i.Target)
	if err != nil {
		return err
	}
	if !isImage(m) {
		return fmt.Errorf("%w: %s is no image but %s, which no engine runs: %s", oci.ErrNotFound, i.Target.Digest, artifactText(m), artifactAdvice(m))
	}
	return nil
}

// isImage tells images from artifacts (image-spec, "Guidelines for Artifact
// Usage"). Some registries gave configs of images no type of their own, and
// attestations of BuildKit and signatures of cosign have the config of an image.
func isImage(m ocispec.Manifest) bool {
	config := m.Config.MediaType
	return (oci.IsImageConfig(config) || config == "application/octet-stream") && m.ArtifactType == "" && artifactOf(m) == nil
}

// artifacts are those that are pulled by mistake most, by the media types that give
// them away.
var artifacts = []struct{ mediaType, is, advice string }{
	{"application/vnd.dev.cosign.simplesigning.v1+json", "a signature of cosign", "cosign verify reads it beside its image; "},
	{"application/vnd.dev.sigstore.bundle", "a signature or attestation of Sigstore", "cosign verify reads it beside its image; "},
	{"application/vnd.cncf.notary.signature", "a signature of Notation", "notation verify reads it beside its image; "},
	{"application/vnd.in-toto+json", "an attestation (SBOM or provenance)", "docker buildx imagetools inspect reads it beside its image; "},
	{"application/vnd.dsse.envelope", "an attestation (SBOM or provenance)", "cosign verify-attestation reads it beside its image; "},
	{"application/vnd.cncf.helm.", "a Helm chart", "helm pull oci://REGISTRY/NAME reads it; "},
	{"application/spdx+json", "an SBOM", ""},
	{"application/vnd.cyclonedx+json", "an SBOM", ""},
}

// artifactOf tells which of artifacts a manifest is by its types and those of all
// its layers; nil for none.
func artifactOf(m ocispec.Manifest) *struct{ mediaType, is, advice string } {
	for n := range artifacts {
		known := func(mediaType string) bool { return strings.HasPrefix(mediaType, artifacts[n].mediaType) }
		foreign := func(l ocispec.Descriptor) bool { return !known(l.MediaType) }
		if known(m.ArtifactType) || known(m.Config.MediaType) || len(m.Layers) > 0 && !slices.ContainsFunc(m.Layers, foreign) {
			return &artifacts[n]
		}
	}
	return nil
}

func artifactText(m ocispec.Manifest) string {
	mediaType := cmp.Or(m.ArtifactType, m.Config.MediaType)
	if a := artifactOf(m); a != nil {
		return a.is
	}
	return fmt.Sprintf("an artifact, of type %q", mediaType)
}

func artifactAdvice(m ocispec.Manifest) string {
	advice := "pull --to oci:DIR or oci-archive:FILE takes it as it is"
	if a := artifactOf(m); a != nil {
		return a.advice + advice
	}
	return advice
}
