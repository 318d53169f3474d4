package oci

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MediaTypeBuildCache is the config of a cache that BuildKit exports: of its
// manifest (image-manifest=true), or among the layers that its index lists.
const MediaTypeBuildCache = "application/vnd.buildkit.cacheconfig.v0"

// Artifact is what a manifest or index stands for that is no image (image-spec,
// "Guidelines for Artifact Usage").
type Artifact struct {
	Is     string // for humans, such as "a signature of cosign"
	reader string // who reads it, with %s for its name; "" where that is not known
}

// ReadBy says who reads the artifact of that name, "" where that is not known.
func (a *Artifact) ReadBy(name string) string {
	return strings.ReplaceAll(a.reader, "%s", name)
}

// artifacts are those that are taken for images most, by the media types that give
// them away.
var artifacts = []struct{ mediaType, is, reader string }{
	{MediaTypeBuildCache, "a build cache of BuildKit", "docker buildx build --cache-from type=registry,ref=%s reads it"},
	{"application/vnd.dev.cosign.simplesigning.v1+json", "a signature of cosign", "cosign verify reads it beside its image"},
	{"application/vnd.dev.sigstore.bundle", "a signature or attestation of Sigstore", "cosign verify reads it beside its image"},
	{"application/vnd.cncf.notary.signature", "a signature of Notation", "notation verify reads it beside its image"},
	{"application/vnd.in-toto+json", "an attestation (SBOM or provenance)", "docker buildx imagetools inspect reads it beside its image"},
	{"application/vnd.dsse.envelope", "an attestation (SBOM or provenance)", "cosign verify-attestation reads it beside its image"},
	{"application/vnd.cncf.helm.", "a Helm chart", "helm pull oci://%s reads it"},
	{"application/spdx+json", "an SBOM", ""},
	{"application/vnd.cyclonedx+json", "an SBOM", ""},
}

// ArtifactOf tells what a manifest or index stands for, nil for an image or an
// index of images, and for what is neither manifest nor index. Some registries gave
// configs of images no type of their own, and attestations of BuildKit and
// signatures of cosign have the config of an image.
func ArtifactOf(data []byte) *Artifact {
	var m typed
	if json.Unmarshal(data, &m) != nil {
		return nil
	}
	switch {
	case m.Config == nil && ListsNoManifest(m.Manifests):
		return cmp.Or(known(m.ArtifactType, m.Manifests...), unknown(m.Manifests[0].MediaType))
	case m.Config == nil && (len(m.Manifests) > 0 || m.ArtifactType == ""):
		return nil
	case m.Config == nil: // as ORAS wrote them before image-spec 1.1
		return cmp.Or(known(m.ArtifactType), unknown(m.ArtifactType))
	}
	found := known(m.ArtifactType, *m.Config)
	if found == nil {
		found = commonTo(m.Layers)
	}
	isImage := IsImageConfig(m.Config.MediaType) || m.Config.MediaType == "application/octet-stream"
	if found == nil && (m.ArtifactType != "" || !isImage) {
		return unknown(cmp.Or(m.ArtifactType, m.Config.MediaType))
	}
	return found
}

// typed is what of a manifest or index tells what it is.
type typed struct {
	ArtifactType string               `json:"artifactType"`
	Config       *ocispec.Descriptor  `json:"config"`
	Layers       []ocispec.Descriptor `json:"layers"`
	Manifests    []ocispec.Descriptor `json:"manifests"`
}

// commonTo is what all layers are; nil when that is not known, or not one thing.
func commonTo(layers []ocispec.Descriptor) (common *Artifact) {
	for n, l := range layers {
		a := known("", l)
		if a == nil || n > 0 && *a != *common {
			return nil
		}
		common = a
	}
	return common
}

// ListsNoManifest tells an index that lists other things, as BuildKit's cache is
// without image-manifest=true.
func ListsNoManifest(children []ocispec.Descriptor) bool {
	return len(children) > 0 && !slices.ContainsFunc(children, func(c ocispec.Descriptor) bool {
		return c.MediaType == "" || IsAnyManifest(c.MediaType)
	})
}

// ListsNothing tells an index of which nothing can be pulled, since it lists nothing and
// stands for nothing else, from others and from what is no index.
func ListsNothing(data []byte) bool {
	var m struct {
		typed
		Subject *ocispec.Descriptor `json:"subject"`
	}
	return IsIndex(SniffMediaType(data)) && json.Unmarshal(data, &m) == nil && len(m.Manifests) == 0 && m.ArtifactType == "" && m.Subject == nil
}

// known finds one of artifacts by an artifactType or the types of descriptors.
func known(artifactType string, descs ...ocispec.Descriptor) *Artifact {
	for _, a := range artifacts {
		if strings.HasPrefix(artifactType, a.mediaType) ||
			slices.ContainsFunc(descs, func(d ocispec.Descriptor) bool { return strings.HasPrefix(d.MediaType, a.mediaType) }) {
			return &Artifact{a.is, a.reader}
		}
	}
	return nil
}

func unknown(mediaType string) *Artifact {
	return &Artifact{Is: fmt.Sprintf("an artifact, of type %q", mediaType)}
}
