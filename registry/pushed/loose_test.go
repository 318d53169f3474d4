package pushed_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// loose lists what no root has, by its digest.
func (b *bench) loose() map[digest.Digest]pushed.Loose {
	b.Helper()
	all, err := b.Loose(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	found := map[digest.Digest]pushed.Loose{}
	for _, l := range all {
		found[l.Digest] = l
	}
	return found
}

// What was pushed by digest and never got an index or a tag fills the store, so it must be
// found; what an image, an index or a tag has must not, or it would be taken away.
func TestLoose(t *testing.T) {
	b := newBench(t)
	was, is := b.image("app", "was"), b.image("app", "is")
	b.retired("1", was)
	b.retired("1", is)
	child, other := b.image("app", "child"), b.image("app", "other")
	b.put("app", "", child)
	b.put("app", "", other)
	index := manifest(t, ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{child.Descriptor}})
	index.Content = []byte(`{"schemaVersion":2,` + string(index.Content[len(`{"schemaVersion":0,`):]))
	index.Descriptor.Digest = digest.FromBytes(index.Content)
	b.put("app", "", index)
	signature := b.signature("app", "signature", other)
	b.put("app", "", signature)
	tagged := b.image("app", "tagged")
	b.put("app", oci.ReferrerTagOf(digest.FromString("elsewhere"), ".sig"), tagged)

	all := b.loose()
	for d, needed := range map[digest.Digest]bool{index.Descriptor.Digest: false, other.Descriptor.Digest: false, signature.Descriptor.Digest: true, tagged.Descriptor.Digest: true} {
		l, ok := all[d]
		if !ok || l.Needed != needed || l.Repository != "app" || l.Size <= 0 || l.Pushed.IsZero() {
			t.Errorf("%s: %+v, want needed %t", d, l, needed)
		}
	}
	if len(all) != 4 || len(all[index.Descriptor.Digest].Holds) != 2 {
		t.Errorf("loose are %v", all)
	}
	for _, m := range []pushed.Manifest{was, is} {
		if roots, hold, err := b.Holders(t.Context(), "app", m.Descriptor.Digest); err != nil || len(roots) != 1 || hold.Defined() || !b.keeps(roots[0]) {
			t.Errorf("%s is kept by %v, %v, %v", m.Descriptor.Digest, roots, hold, err)
		}
	}
	if roots, hold, err := b.Holders(t.Context(), "app", child.Descriptor.Digest); err != nil || len(roots) > 0 || !slices.Contains(all[index.Descriptor.Digest].Holds, hold) {
		t.Errorf("the child is kept by %v, %v, %v", roots, hold, err)
	}

	b.put("app", "2", index) // meanwhile
	for _, d := range []digest.Digest{index.Descriptor.Digest, signature.Descriptor.Digest, tagged.Descriptor.Digest} {
		if gone, err := b.DiscardLoose(t.Context(), all[d]); gone || err != nil {
			t.Errorf("%s: gone %t, %v", d, gone, err)
		}
	}
	if gone, err := b.DiscardLoose(t.Context(), all[other.Descriptor.Digest]); !gone || err != nil {
		t.Errorf("other: gone %t, %v", gone, err)
	}
	for m, want := range map[*pushed.Manifest]bool{&child: true, &index: true, &was: true, &is: true, &tagged: true, &other: false, &signature: false} {
		_, err := b.Repository("app").Manifest(t.Context(), m.Descriptor.Digest)
		if got := err == nil; got != want || err != nil && !errors.Is(err, oci.ErrManifestUnknown) {
			t.Errorf("%s: %v", m.Content, err)
		}
	}
	if left := b.loose(); len(left) != 1 || !left[tagged.Descriptor.Digest].Needed {
		t.Errorf("left are %v", left)
	}
}
