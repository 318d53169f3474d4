package oci

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// family is one kind of manifest, by whichever of its media types.
type family int

const (
	familyNone family = iota
	familyIndex
	familyImage
	familySchema1
	familyArtifact
)

func familyOf(mediaType string) family {
	switch mediaType {
	case MediaTypeDockerSchema1, MediaTypeDockerSigned1:
		return familySchema1
	case mediaTypeArtifact, mediaTypeORASArtifact:
		return familyArtifact
	}
	switch {
	case IsIndex(mediaType):
		return familyIndex
	case IsManifest(mediaType):
		return familyImage
	}
	return familyNone
}

// manifestFields are the fields of a manifest that tell what it is.
type manifestFields struct {
	MediaType  string          `json:"mediaType"`
	Manifests  json.RawMessage `json:"manifests"`
	Config     json.RawMessage `json:"config"`
	Layers     json.RawMessage `json:"layers"`
	Blobs      json.RawMessage `json:"blobs"`
	FSLayers   json.RawMessage `json:"fsLayers"`
	Signatures json.RawMessage `json:"signatures"`
}

// isThere tells a field from one that is absent or null.
func isThere(field json.RawMessage) bool {
	return len(field) > 0 && !bytes.Equal(field, []byte("null"))
}

// families are those whose fields there are, with the names of these.
func (m *manifestFields) families() (all []family, fields []string) {
	for _, f := range []struct {
		name  string
		of    family
		value json.RawMessage
	}{
		{"manifests", familyIndex, m.Manifests}, {"config", familyImage, m.Config}, {"layers", familyImage, m.Layers},
		{"fsLayers", familySchema1, m.FSLayers}, {"blobs", familyArtifact, m.Blobs},
	} {
		if !isThere(f.value) {
			continue
		}
		if fields = append(fields, f.name); len(all) == 0 || all[len(all)-1] != f.of {
			all = append(all, f.of)
		}
	}
	return all, fields
}

// mediaType is what fields alone make a manifest; empty for what could be either, or
// neither.
func (m *manifestFields) mediaType() string {
	isIndex, isImage := isThere(m.Manifests), isThere(m.Config) && isThere(m.Layers)
	switch {
	case isThere(m.FSLayers) && m.Signatures != nil:
		return MediaTypeDockerSigned1
	case isThere(m.FSLayers):
		return MediaTypeDockerSchema1
	case isIndex && !isImage:
		return ocispec.MediaTypeImageIndex
	case isImage && !isIndex:
		return ocispec.MediaTypeImageManifest
	}
	return ""
}

// SniffMediaType tells the media type of a manifest or index without a descriptor: what it
// says of itself, else what its fields make it. "manifests" makes an index, "config" with
// "layers" an image manifest (image-spec, "Image Index" and "Image Manifest"), whichever
// schemaVersion it states; "fsLayers" is schema 1's. It is empty for other content, and
// for what could be either.
func SniffMediaType(manifest []byte) string {
	var m manifestFields
	if json.Unmarshal(manifest, &m) != nil {
		return ""
	}
	return cmp.Or(m.MediaType, m.mediaType())
}

// ManifestType tells the media type of a manifest or index: the one that its descriptor
// states, which may be empty, else as in [SniffMediaType]. These and the fields must
// agree on whether it is an index, an image manifest, one of schema 1 or one of an
// artifact: what is one thing to some and another to others is nothing (CVE-2021-41190),
// and the error, which matches [ErrCorrupt], says what contradicts what. Docker's and
// OCI's types of one thing are not told apart, and a field that is null is none. What is
// no JSON object contradicts nothing.
func ManifestType(said string, content []byte) (string, error) {
	var m manifestFields
	if json.Unmarshal(content, &m) != nil {
		return said, nil
	}
	is := familyNone
	all, fields := m.families()
	contradicts := len(all) > 1
	for _, f := range append(all, familyOf(said), familyOf(m.MediaType)) {
		contradicts = contradicts || f != familyNone && is != familyNone && f != is
		is = cmp.Or(is, f)
	}
	if !contradicts {
		return cmp.Or(said, m.MediaType, m.mediaType()), nil
	}
	var says []string
	if said != "" {
		says = append(says, fmt.Sprintf("its descriptor says type %q", said))
	}
	if m.MediaType != "" {
		says = append(says, fmt.Sprintf("it says type %q of itself", m.MediaType))
	}
	if len(fields) > 0 {
		says = append(says, fmt.Sprintf("it has the field %s", strings.Join(fields, " and the field ")))
	}
	return "", fmt.Errorf("%w: its types and fields contradict each other, so that it would be one thing to some and another to others: %s", ErrCorrupt, strings.Join(says, ", "))
}
