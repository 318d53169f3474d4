package pushed_test

import (
	"io"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// What was pushed is read as what was published.
func TestReader(t *testing.T) {
	registrytest.Contents(t, func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) registry.Reader {
		l, err := layout.Open(t.Context(), blocks, root)
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t)
		for _, desc := range l.Files().Index.Manifests {
			b.push("app", l, desc)
		}
		return b.Repository("app")
	})
}

// push pushes a manifest and what it lists.
func (b *bench) push(repository string, from registry.Reader, desc ocispec.Descriptor) {
	b.Helper()
	m, err := from.Manifest(b.Context(), desc.Digest)
	if err != nil {
		b.Fatal(err)
	}
	manifests, blobs, err := oci.PartsOf(m.Content)
	if err != nil {
		b.Fatal(err)
	}
	for _, part := range manifests {
		b.push(repository, from, part)
	}
	for _, part := range blobs {
		blob, err := from.Blob(b.Context(), part.Digest)
		if err != nil {
			b.Fatal(err)
		}
		data, err := io.ReadAll(blob)
		if err != nil {
			b.Fatal(err)
		}
		if err := blob.Close(); err != nil {
			b.Fatal(err)
		}
		if d := b.blob(repository, string(data)); d.Digest != digest.FromBytes(data) {
			b.Fatalf("%s became %s", part.Digest, d.Digest)
		}
	}
	if _, err := b.PutManifest(b.Context(), repository, pushed.Manifest{Descriptor: m.Descriptor, Content: m.Content}); err != nil {
		b.Fatal(err)
	}
}
