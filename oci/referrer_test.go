package oci

import (
	"reflect"

	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Signatures and attestations are found by what this says; the registry and the
// resolver must say the same.
func TestReferrer(t *testing.T) {
	const subject = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for name, test := range map[string]struct {
		data, mediaType, artifactType string
		annotations                   map[string]string
		no                            bool
	}{
		"artifact":    {data: `{"artifactType":"a/sig","config":{"mediaType":"c"},"subject":{"digest":"` + subject + `"},"annotations":{"k":"v"}}`, artifactType: "a/sig", annotations: map[string]string{"k": "v"}},
		"config":      {data: `{"config":{"mediaType":"c/type"},"subject":{"digest":"` + subject + `"}}`, artifactType: "c/type"},
		"index":       {data: `{"manifests":[],"artifactType":"a/list","subject":{"digest":"` + subject + `"}}`, artifactType: "a/list"},
		"typeless":    {data: `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","subject":{"digest":"` + subject + `"}}`, mediaType: "none"},
		"no subject":  {data: `{"config":{"mediaType":"c"}}`, no: true},
		"null":        {data: `{"subject":null}`, no: true},
		"no digest":   {data: `{"subject":{"digest":"sha256:beef"}}`, no: true},
		"no JSON":     {data: `subject`, no: true},
		"wrong types": {data: `{"subject":{"digest":"` + subject + `"},"annotations":[1]}`, no: true},
	} {
		desc := ocispec.Descriptor{MediaType: "m/type", Digest: digest.FromString(test.data), Size: 1, Platform: &ocispec.Platform{OS: "linux"}}
		want := ocispec.Descriptor{MediaType: "m/type", Digest: desc.Digest, Size: int64(len(test.data)), ArtifactType: test.artifactType, Annotations: test.annotations}
		if test.mediaType == "none" {
			desc.MediaType, want.MediaType = "", ocispec.MediaTypeImageManifest
		}
		got, found, ok := Referrer(desc, []byte(test.data))
		switch {
		case ok == test.no:
			t.Errorf("%s: refers %t", name, ok)
		case ok && (got != subject || !reflect.DeepEqual(found, want)):
			t.Errorf("%s: %s, %+v; want %+v", name, got, found, want)
		case !ok && got != "":
			t.Errorf("%s: subject %s of none", name, got)
		}
	}
}
