package oci_test

import (
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/oci"
)

// What is no image is called by its name, and who reads it is told, whichever
// field gives it away.
func TestArtifactOf(t *testing.T) {
	const image = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json"}`
	for name, test := range map[string]struct{ data, is, reader string }{
		"an image":                 {`{` + image + `,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip"}]}`, "", ""},
		"a config of no type":      {`{"config":{"mediaType":"application/octet-stream"},"layers":[]}`, "", ""},
		"an index":                 {`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json"}]}`, "", ""},
		"an index of no types":     {`{"manifests":[{}]}`, "", ""},
		"an index with a layer":    {`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json"},{"mediaType":"application/vnd.oci.image.layer.v1.tar"}]}`, "", ""},
		"an empty index":           {`{"manifests":[]}`, "", ""},
		"schema 1":                 {`{"fsLayers":[]}`, "", ""},
		"no JSON":                  {`{`, "", ""},
		"cache, a manifest":        {`{"config":{"mediaType":"application/vnd.buildkit.cacheconfig.v0"},"layers":[]}`, "a build cache of BuildKit", "--cache-from type=registry,ref=host/x"},
		"cache, an index":          {`{"manifests":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip"},{"mediaType":"application/vnd.buildkit.cacheconfig.v0"}]}`, "a build cache of BuildKit", "--cache-from type=registry,ref=host/x"},
		"an index of other things": {`{"manifests":[{"mediaType":"text/plain"}]}`, `an artifact, of type "text/plain"`, ""},
		"signature by its layer":   {`{` + image + `,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json"}]}`, "a signature of cosign", "cosign verify"},
		"an image with an SBOM":    {`{` + image + `,"layers":[{"mediaType":"application/spdx+json"},{"mediaType":"application/vnd.oci.image.layer.v1.tar"}]}`, "", ""},
		"chart by its config":      {`{"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"}}`, "a Helm chart", "helm pull oci://host/x"},
		"by its artifactType":      {`{"artifactType":"application/vnd.example",` + image + `}`, `an artifact, of type "application/vnd.example"`, ""},
		"ORAS before OCI 1.1":      {`{"artifactType":"application/vnd.cncf.notary.signature","blobs":[]}`, "a signature of Notation", "notation verify"},
		"a type with an escape":    {`{"artifactType":"\u001b]0;x\u0007",` + image + `}`, `an artifact, of type "\x1b]0;x\a"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := oci.ArtifactOf([]byte(test.data))
			if a == nil {
				a = &oci.Artifact{}
			}
			if a.Is != test.is || !strings.Contains(a.ReadBy("host/x"), test.reader) || test.reader == "" && a.ReadBy("x") != "" {
				t.Errorf("%q, read by %q; want %q, %q", a.Is, a.ReadBy("host/x"), test.is, test.reader)
			}
		})
	}
}

// An index that lists nothing has nothing to pull, unless it stands for something by
// itself.
func TestListsNothing(t *testing.T) {
	const list = `{"mediaType":"application/vnd.oci.image.index.v1+json"`
	for data, want := range map[string]bool{
		list + `}`: true, list + `,"manifests":[]}`: true, list + `,"manifests":null}`: true, `{"manifests":[]}`: true,
		list + `,"manifests":[{}]}`: false, list + `,"manifests":[],"artifactType":"application/x"}`: false, list + `,"manifests":[],"subject":{}}`: false,
		`{"config":{},"layers":[]}`: false, `{}`: false, `[]`: false, `x`: false,
	} {
		if oci.ListsNothing([]byte(data)) != want {
			t.Errorf("%s lists nothing: %t, want %t", data, !want, want)
		}
	}
}
