package pull_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Who pulls a signature or a chart for an image must be told what it is and who
// reads it, not that an engine is at a loss.
func TestArtifactsAreNoImages(t *testing.T) {
	for name, test := range map[string]struct {
		artifactType, config, layer string
		words                       []string // none for what is an image
	}{
		"image":        {"", ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip, nil},
		"docker image": {"", oci.MediaTypeDockerConfig, "application/vnd.docker.image.rootfs.diff.tar.gzip", nil},
		"cosign":       {"", ocispec.MediaTypeImageConfig, "application/vnd.dev.cosign.simplesigning.v1+json", []string{"a signature of cosign", "cosign verify"}},
		"sigstore":     {"application/vnd.dev.sigstore.bundle.v0.3+json", ocispec.MediaTypeEmptyJSON, "application/vnd.dev.sigstore.bundle.v0.3+json", []string{"of Sigstore", "cosign verify"}},
		"notation":     {"application/vnd.cncf.notary.signature", ocispec.MediaTypeEmptyJSON, "application/jose+json", []string{"Notation", "notation verify"}},
		"buildkit":     {"", ocispec.MediaTypeImageConfig, "application/vnd.in-toto+json", []string{"an attestation", "imagetools inspect"}},
		"attestation":  {"", ocispec.MediaTypeImageConfig, "application/vnd.dsse.envelope.v1+json", []string{"an attestation", "verify-attestation"}},
		"chart":        {"", "application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", []string{"a Helm chart", "helm pull"}},
		"anything":     {"application/vnd.example.thing", ocispec.MediaTypeEmptyJSON, "text/plain", []string{`of type "application/vnd.example.thing"`}},
		"no type":      {"", "application/vnd.example.config", "text/plain", []string{`of type "application/vnd.example.config"`}},
	} {
		t.Run(name, func(t *testing.T) {
			b := testlayout.NewBlocks()
			l := testlayout.New(t, b)
			desc := l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
				Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: test.artifactType,
				Config: l.Blob(test.config, []byte("{}")), Layers: []ocispec.Descriptor{l.Blob(test.layer, []byte("content"))},
			})
			i := mustSelect(t, b, l.Publish(oci.Named(desc, "app:1")), "/app:1")
			for what, err := range map[string]error{"engine": i.CheckEngine(t.Context()), "docker archive": i.CheckDockerArchive(t.Context())} {
				if (err != nil) != (test.words != nil) || err != nil && !errors.Is(err, oci.ErrNotFound) {
					t.Errorf("%s: %v", what, err)
				}
				for _, word := range append(test.words, "pull --to oci:DIR") {
					if err != nil && !strings.Contains(err.Error(), word) {
						t.Errorf("%s: %v does not say %q", what, err, word)
					}
				}
			}
		})
	}
}

// An index stays one for engines, whatever hangs on its images.
func TestAttestedImageIsAnImage(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	attestation := l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: l.Blob(ocispec.MediaTypeImageConfig, []byte("{}")),
		Layers: []ocispec.Descriptor{l.Blob("application/vnd.in-toto+json", []byte("{}"))},
	})
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	root := l.Publish(oci.Named(l.Index(l.Image("amd64", []byte("layer")), attestation), "app:1"))
	if err := mustSelect(t, b, root, "/app:1").CheckEngine(t.Context()); err != nil {
		t.Error(err)
	}
}

// An index that lists layers is no image for any platform: a build cache.
func TestCacheIndexIsNoImage(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	cache := l.Index(l.Blob(ocispec.MediaTypeImageLayerGzip, []byte("cached")), l.Blob(oci.MediaTypeBuildCache, []byte("{}")))
	root := l.Publish(oci.Named(cache, "app:1"))
	if err := mustSelect(t, b, root, "/app:1").CheckEngine(t.Context()); !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "build cache") {
		t.Error(err)
	}
}
