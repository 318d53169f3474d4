package legacy

import (
	"context"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// FuzzTree opens a tree with any manifest, config and layer: a blob that is to
// be inflated is never read to its end with other content than its digest says,
// and every manifest is served under its own digest.
func FuzzTree(f *testing.F) {
	image := oldtree.NewImage(f, "old")
	layer, config := digest.FromBytes(image.Layers[0]), digest.FromBytes(image.Config)
	for _, version := range oldtree.Versions {
		files := oldtree.Files(f, version, "app", image)
		for _, name := range []string{"latest", "latest-v2"} {
			if manifest := files["app/manifests/"+name]; manifest != nil {
				f.Add(manifest, image.Config, oldtree.Gzip(f, image.Layers[0]))
			}
		}
	}
	f.Add([]byte(`{"schemaVersion":2,"layers":[null,{"digest":"`+layer.String()+`"}],"config":{"digest":"`+config.String()+`"}}`), image.Config, []byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, manifest, configJSON, packed []byte) {
		ctx, blocks := context.Background(), testlayout.NewBlocks()
		root := oldtree.Add(t, blocks, map[string][]byte{
			"app/manifests/latest-v2":         manifest,
			"app/blobs/" + config.String():    configJSON,
			"app/blobs/" + layer.String():     packed,
			"app/blobs/sha256:" + "00unsound": packed,
		})
		tree, err := Open(ctx, blocks, root, Size(blocks))
		if err != nil {
			return
		}
		for _, i := range tree.Stored {
			if m, err := tree.Names.Manifest(t.Context(), i.Descriptor.Digest); err != nil || digest.FromBytes(m.Content) != i.Descriptor.Digest {
				t.Errorf("manifest %s is served as %s (%v)", m.Content, i.Descriptor.Digest, err)
			}
		}
		_ = tree.WriteArchive(ctx, io.Discard) // may fail, must not panic
		for d, size := range tree.inflated {
			b, err := tree.Locate(ctx, d)
			if err != nil {
				t.Fatal(err)
			}
			file, err := ipfs.OpenFile(ctx, blocks, b.CID, 0)
			if err != nil {
				t.Fatal(err)
			}
			content := NewInflated(file, d, size)
			if data, err := io.ReadAll(content); err == nil && digest.FromBytes(data) != d {
				t.Errorf("blob %s was read as %d bytes of %s", d, len(data), digest.FromBytes(data))
			}
			if err := content.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
