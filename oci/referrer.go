package oci

import (
	"cmp"
	"encoding/json"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Referrer tells whether a manifest or index, data, refers to a subject
// (image-spec, "subject"), and then gives the subject's digest and the
// descriptor that lists of its referrers have (distribution-spec, "Listing
// Referrers"): with annotations, and with the type of the artifact, which is
// that of the config where none is named. desc is the descriptor that led to
// data; without a media type in it, that of data is taken.
func Referrer(desc ocispec.Descriptor, data []byte) (subject digest.Digest, found ocispec.Descriptor, ok bool) {
	var m struct {
		ArtifactType string              `json:"artifactType"`
		Config       *ocispec.Descriptor `json:"config"`
		Subject      *ocispec.Descriptor `json:"subject"`
		Annotations  map[string]string   `json:"annotations"`
	}
	if json.Unmarshal(data, &m) != nil || m.Subject == nil || m.Subject.Digest.Validate() != nil {
		return "", ocispec.Descriptor{}, false
	}
	found = ocispec.Descriptor{
		MediaType: cmp.Or(desc.MediaType, SniffMediaType(data)), Digest: desc.Digest, Size: int64(len(data)),
		ArtifactType: m.ArtifactType, Annotations: m.Annotations,
	}
	if found.ArtifactType == "" && m.Config != nil {
		found.ArtifactType = m.Config.MediaType
	}
	return m.Subject.Digest, found, true
}

// Entry is the descriptor of a manifest in index.json that follows from the manifest
// alone and its name, "[host/]repository:tag", which may be empty: media type, digest,
// size, artifactType as the manifest has it, and the annotations of [Named].
func Entry(desc ocispec.Descriptor, manifest []byte, name string) ocispec.Descriptor {
	var m struct {
		ArtifactType string `json:"artifactType"`
	}
	_ = json.Unmarshal(manifest, &m) // what is none has no type
	entry := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size, ArtifactType: m.ArtifactType}
	if name == "" {
		return entry
	}
	return Named(entry, name)
}

// Weight is at least the length of desc in JSON, and about what it takes in
// memory. A character can become six.
func Weight(desc ocispec.Descriptor) int64 {
	n := len(desc.MediaType) + len(desc.ArtifactType) + len(desc.Data)
	for _, u := range desc.URLs {
		n += len(u)
	}
	for k, v := range desc.Annotations {
		n += len(k) + len(v) + 2
	}
	return int64(6*n) + 512
}
