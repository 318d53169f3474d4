package pushed_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

func (b *bench) lacks(what string, err error) {
	b.Helper()
	if !errors.Is(err, oci.ErrNotFound) {
		b.Errorf("%s: %v, want ErrNotFound", what, err)
	}
}

// Who deletes a tag takes a name away and nothing else.
func TestDeleteTag(t *testing.T) {
	b := newBench(t)
	image := b.image("app", "layer")
	root := b.put("app", "1", image)["1"]
	if _, err := b.DeleteTag(t.Context(), "app", "1"); err != nil {
		t.Fatal(err)
	}
	_, err := b.Repository("app").Resolve(t.Context(), ref.Name{Tag: "1"})
	b.lacks("the tag", err)
	if _, err := b.Repository("app").Manifest(t.Context(), image.Descriptor.Digest); err != nil || !b.keeps(root) {
		t.Errorf("the manifest: %v; the root is kept: %t", err, b.keeps(root))
	}
	_, err = b.DeleteTag(t.Context(), "app", "1")
	b.lacks("deleted twice", err)

	plain := b.put("app", "2", image)["2"]
	tag := oci.ReferrerTagOf(image.Descriptor.Digest, oci.SuffixSignature)
	b.put("app", tag, b.image("app", "a signature of cosign"))
	r, err := b.DeleteTag(t.Context(), "app", tag)
	if err != nil || len(r.Roots) != 1 || !r.Roots[0].CID.Equals(plain) {
		t.Errorf("without its signature the image is %v, %v, want %s", r.Roots, err, plain)
	}
}

// Who deletes an image gets the space a day later, and nobody else's image loses anything.
func TestDeleteManifest(t *testing.T) {
	b := newBench(t)
	shared, only := strings.Repeat("shared", 50_000), strings.Repeat("only", 50_000)
	arm, amd := b.image("app", shared, only), b.image("app", shared)
	b.put("app", "", arm)
	b.put("app", "amd", amd)
	index := manifest(t, ocispec.MediaTypeImageIndex, oci.NewIndex([]ocispec.Descriptor{arm.Descriptor, amd.Descriptor}))
	first := b.put("app", "1", index)["1"]
	sig := b.signature("app", "signature", index)
	signed := b.put("app", "", sig)["1"]
	cosigned := b.put("app", oci.ReferrerTagOf(index.Descriptor.Digest, oci.SuffixSignature), b.image("app", "cosign's"))["1"]
	b.name(signed, pushed.ByTag, "prod/app:1", index.Descriptor, "app:1")

	if _, err := b.DeleteManifest(t.Context(), "app", arm.Descriptor.Digest); !errors.Is(err, pushed.ErrNeeded) {
		t.Errorf("deleting what an index lists: %v, want ErrNeeded", err)
	}
	if err := b.DeleteBlob(t.Context(), "app", digest.FromString(only)); !errors.Is(err, pushed.ErrNeeded) {
		t.Errorf("deleting a layer of an image: %v, want ErrNeeded", err)
	}
	_, err := b.DeleteManifest(t.Context(), "app", digest.FromString("nothing"))
	b.lacks("what was not pushed", err)

	if _, err := b.DeleteManifest(t.Context(), "app", index.Descriptor.Digest); err != nil {
		t.Fatal(err)
	}
	repo := b.Repository("app")
	for what, d := range map[string]digest.Digest{"the index": index.Descriptor.Digest, "its image": arm.Descriptor.Digest, "its signature": sig.Descriptor.Digest} {
		_, err := repo.Manifest(t.Context(), d)
		b.lacks(what, err)
	}
	for what, text := range map[string]string{"a layer that only it had": only, "the signature's layer": "signature", "cosign's": "cosign's"} {
		if got := b.stays("app", text); got != "a day" {
			t.Errorf("%s stays for %s", what, got)
		}
	}
	if got := b.stays("app", shared); got != "good" {
		t.Errorf("a layer of another image stays for %s", got)
	}
	if tags, err := repo.Tags(t.Context(), ""); err != nil || len(tags) != 1 || tags[0] != "amd" {
		t.Errorf("tags %q, %v", tags, err)
	}
	if b.keeps(first) || b.keeps(cosigned) || !b.keeps(signed) {
		t.Errorf("roots are kept: %t, %t, and the one that prod/app has %t", b.keeps(first), b.keeps(cosigned), b.keeps(signed))
	}
	b.gc()
	for _, text := range []string{shared, config} {
		if _, err := repo.Blob(t.Context(), digest.FromString(text)); err != nil {
			t.Errorf("a blob of the other image: %v", err)
		}
	}
	if _, err := b.Repository("prod/app").Blob(t.Context(), digest.FromString(only)); err != nil {
		t.Errorf("a layer of what prod/app has: %v", err)
	}
}

// A signature that is deleted is in no root any more, and in no history.
func TestDeleteReferrer(t *testing.T) {
	b := newBench(t)
	image := b.image("app", "layer")
	plain := b.put("app", "1", image)["1"]
	sig := b.signature("app", "signature", image)
	signed := b.put("app", "", sig)["1"]
	r, err := b.DeleteManifest(t.Context(), "app", sig.Descriptor.Digest)
	if err != nil || len(r.Roots) != 1 || !r.Roots[0].CID.Equals(plain) || signed.Equals(plain) {
		t.Errorf("the image is %v, %v, want %s", r.Roots, err, plain)
	}
	if _, err := b.DeleteManifest(t.Context(), "app", image.Descriptor.Digest); err != nil {
		t.Fatal(err)
	}
	if b.keeps(plain) || b.keeps(signed) {
		t.Error("a root of what was deleted is kept")
	}
}

// A blob that no manifest needs goes at once.
func TestDeleteBlob(t *testing.T) {
	b := newBench(t)
	d := b.blob("app", "alone").Digest
	if err := b.DeleteBlob(t.Context(), "app", d); err != nil {
		t.Fatal(err)
	}
	_, err := b.Repository("app").Locate(t.Context(), d)
	b.lacks("the blob", err)
	b.lacks("deleted twice", b.DeleteBlob(t.Context(), "app", d))
}
