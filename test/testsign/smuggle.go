package testsign

import (
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/trust"
)

// Smuggled is an image of somebody else, published so that it may be taken for signed.
type Smuggled struct {
	How    string // it was tried
	Blocks *testlayout.Blocks
	Layout *testlayout.Layout
	Root   cid.Cid
	Image  ocispec.Descriptor   // "app:1", for amd64, whose layer is "evil"
	Blobs  []digest.Digest      // its own, sorted
	Claims []ocispec.Descriptor // what pretends to sign something
}

// Smuggle publishes an image in each way that was thought of.
func Smuggle(t *testing.T, by Signer) (all []Smuggled) {
	t.Helper()
	for _, how := range []string{"as configs", "as further signatures", "as an index besides", "as a bundle"} {
		s := Smuggled{How: how, Blocks: testlayout.NewBlocks()}
		s.Layout = testlayout.New(t, s.Blocks)
		s.Image = oci.Named(s.Layout.Image("amd64", []byte("evil")), "docker.io/library/app:1")
		s.Blobs = s.Layout.Digests()
		s.Claims = smuggled(s.Layout, by, s.Image)[how]
		s.Root = s.Layout.Publish(append(slices.Clone(s.Claims), s.Image)...)
		all = append(all, s)
	}
	return all
}

// Policy requires signatures by who signs.
func Policy(t *testing.T, by Signer) *trust.Policy {
	t.Helper()
	p, err := trust.New(by.Public)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// smuggled lists ways in which who has a signature of an image elsewhere, which anybody can
// read, would get one of his own trusted: descriptors to publish beside it.
func smuggled(l *testlayout.Layout, by Signer, evil ocispec.Descriptor) map[string][]ocispec.Descriptor {
	elsewhere := digest.FromString("an image of the owner that is not here")
	signature := Layer(l, by, elsewhere)
	own := []ocispec.Descriptor{evil}
	for _, d := range l.Digests() {
		own = append(own, ocispec.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: int64(len(l.Content(d)))})
	}
	claim := func(m map[string]any) ocispec.Descriptor {
		m["schemaVersion"], m["mediaType"] = 2, ocispec.MediaTypeImageManifest
		desc := l.JSON(ocispec.MediaTypeImageManifest, m)
		return oci.Named(desc, "registry.example/x"+desc.Digest.Encoded()[:8]+":"+oci.ReferrerTagOf(elsewhere, oci.SuffixSignature))
	}
	empty := l.Blob(ocispec.MediaTypeImageConfig, []byte(`{}`))
	all := map[string][]ocispec.Descriptor{}
	for _, part := range own {
		as := part
		as.MediaType = TypeSimpleSigning
		all["as configs"] = append(all["as configs"], claim(map[string]any{"config": part, "layers": []ocispec.Descriptor{signature}}))
		all["as further signatures"] = append(all["as further signatures"], claim(map[string]any{"config": empty, "layers": []ocispec.Descriptor{signature, as}}))
	}
	all["as an index besides"] = []ocispec.Descriptor{claim(map[string]any{"config": empty, "layers": []ocispec.Descriptor{signature}, "manifests": own[:1]})}
	both := map[string]any{"mediaType": TypeBundle, "dsseEnvelope": Envelope(by, PredicateSign, elsewhere), "config": empty, "layers": own[1:]}
	bundle := l.JSON(TypeBundle, both)
	all["as a bundle"] = []ocispec.Descriptor{
		claim(map[string]any{"config": empty, "layers": []ocispec.Descriptor{bundle}}),
		oci.Named(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: bundle.Digest, Size: bundle.Size}, "docker.io/library/bundle:1"),
	}
	return all
}
