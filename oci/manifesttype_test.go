package oci

import (
	"errors"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What is an index to some and an image to others is nothing; all else is what its
// descriptor says, or it itself, or its fields.
func TestManifestType(t *testing.T) {
	const index, image, docker, list = ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, MediaTypeDockerManifest, MediaTypeDockerManifestList
	own := func(mediaType, fields string) string { return `{"mediaType":"` + mediaType + `",` + fields + `}` }
	const isIndex, isImage = `"manifests":[]`, `"config":{},"layers":[]`
	for _, test := range []struct {
		said, content, want string
		contradicts         bool
	}{
		{"", `{` + isIndex + `}`, index, false}, {"", `{` + isImage + `}`, image, false}, {"", `{}`, "", false}, {"", `{"layers":[]}`, "", false},
		{"", `{` + isIndex + `,"config":null,"layers":null}`, index, false}, {"", `{"manifests":null,` + isImage + `}`, image, false},
		{image, `{}`, image, false}, {index, `{}`, index, false}, {image, own(docker, isImage), image, false}, {list, own(index, isIndex), list, false},
		{"", own(docker, isImage), docker, false}, {"", own(list, isIndex), list, false},
		{"", `{"fsLayers":[]}`, MediaTypeDockerSchema1, false}, {MediaTypeDockerSigned1, `{"fsLayers":[],"signatures":[]}`, MediaTypeDockerSigned1, false},
		{mediaTypeArtifact, own(mediaTypeArtifact, `"blobs":[]`), mediaTypeArtifact, false},
		{index, `this is no JSON`, index, false}, {"", `[]`, "", false}, {index, `null`, index, false},
		{"", `{` + isIndex + `,` + isImage + `}`, "", true}, {image, `{` + isIndex + `,` + isImage + `}`, "", true},
		{index, `{` + isIndex + `,"layers":[]}`, "", true}, {image, `{` + isIndex + `}`, "", true}, {index, `{` + isImage + `}`, "", true},
		{image, own(index, isIndex), "", true}, {index, own(image, isImage), "", true}, {"", own(index, isImage), "", true}, {"", own(docker, isIndex), "", true},
		{image, own(list, `"x":1`), "", true}, {image, `{"fsLayers":[]}`, "", true}, {MediaTypeDockerSchema1, `{` + isImage + `}`, "", true},
		{image, `{"blobs":[]}`, "", true}, {"", `{` + isIndex + `,"blobs":[]}`, "", true},
	} {
		got, err := ManifestType(test.said, []byte(test.content))
		if got != test.want || (err != nil) != test.contradicts || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("said %q, %s: %q (%v), want %q", test.said, test.content, got, err, test.want)
		}
		if err != nil && !strings.Contains(err.Error(), test.said) {
			t.Errorf("said %q, %s: %v does not say so", test.said, test.content, err)
		}
	}
}

// What contradicts itself is refused wherever it stands.
func TestWalkRefusesContradictions(t *testing.T) {
	m := memory{}
	image := m.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: m.add(ocispec.MediaTypeImageConfig, []byte("{}")), Layers: []ocispec.Descriptor{}})
	called := m.json(ocispec.MediaTypeImageManifest, NewIndex([]ocispec.Descriptor{image}))
	below := m.json(ocispec.MediaTypeImageIndex, NewIndex([]ocispec.Descriptor{image, called}))
	image.MediaType = ocispec.MediaTypeImageIndex
	for name, top := range map[string]ocispec.Descriptor{"an index called a manifest": called, "the same in an index": below, "an image called an index": image} {
		if _, err := Walk(t.Context(), m, NewIndex([]ocispec.Descriptor{top})); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "contradict") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
