// Package testlayout makes OCI image layouts on IPFS in memory, for tests.
package testlayout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Blocks is a block store in memory. It is safe for concurrent use.
type Blocks struct {
	mu     sync.Mutex
	blocks map[cid.Cid][]byte
	gets   int
}

// NewBlocks makes an empty store.
func NewBlocks() *Blocks { return &Blocks{blocks: map[cid.Cid][]byte{}} }

// Get implements [ipfs.Getter].
func (b *Blocks) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gets++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if data, ok := b.blocks[c]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("block %s: %w", c, ipfs.ErrNotFound)
}

// Put implements [ipfs.Putter].
func (b *Blocks) Put(_ context.Context, c cid.Cid, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blocks[c] = bytes.Clone(data)
	return nil
}

// Gets is how often Get was called.
func (b *Blocks) Gets() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gets
}

// Len is the number of blocks.
func (b *Blocks) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.blocks)
}

// Drop takes a block away.
func (b *Blocks) Drop(c cid.Cid) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.blocks, c)
}

// CopyTo puts all blocks into another store.
func (b *Blocks) CopyTo(to *Blocks) {
	_ = b.PutInto(context.Background(), to) // which never fails
}

// PutInto puts all blocks into a store of any kind.
func (b *Blocks) PutInto(ctx context.Context, to ipfs.Putter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c, data := range b.blocks {
		if err := to.Put(ctx, c, data); err != nil {
			return err
		}
	}
	return nil
}

// Layout is an OCI image layout being made.
type Layout struct {
	t   testing.TB
	put ipfs.Putter
	// Extra are files that are published beside what a layout has, or in place of it, by name.
	Extra map[string][]byte
	// Instead are published in the place of blobs, whatever they are.
	Instead map[digest.Digest]cid.Cid
	blobs   map[digest.Digest][]byte
}

// New begins a layout whose blocks go to put.
func New(t testing.TB, put ipfs.Putter) *Layout {
	return &Layout{t: t, put: put, blobs: map[digest.Digest][]byte{}}
}

// Blob adds a blob with a sha256 digest.
func (l *Layout) Blob(mediaType string, data []byte) ocispec.Descriptor {
	return l.BlobAs(digest.SHA256, mediaType, data)
}

// BlobAs adds a blob with a digest of any algorithm.
func (l *Layout) BlobAs(a digest.Algorithm, mediaType string, data []byte) ocispec.Descriptor {
	d := a.FromBytes(data)
	l.blobs[d] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

// Content is that of a blob that was added.
func (l *Layout) Content(d digest.Digest) []byte { return l.blobs[d] }

// Digests lists those of all blobs, sorted.
func (l *Layout) Digests() []digest.Digest { return slices.Sorted(maps.Keys(l.blobs)) }

// Lie puts data under a digest that is not its own.
func (l *Layout) Lie(d digest.Digest, data []byte) { l.blobs[d] = data }

// Without removes a blob that was added.
func (l *Layout) Without(d digest.Digest) { delete(l.blobs, d) }

// JSON adds v as a blob.
func (l *Layout) JSON(mediaType string, v any) ocispec.Descriptor {
	l.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.Blob(mediaType, data)
}

// Image adds a manifest with a config for the architecture and these layers.
func (l *Layout) Image(architecture string, layers ...[]byte) ocispec.Descriptor {
	l.t.Helper()
	platform := ocispec.Platform{OS: "linux", Architecture: architecture}
	config := ocispec.Image{Platform: platform, RootFS: ocispec.RootFS{Type: "layers"}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, data := range layers {
		m.Layers = append(m.Layers, l.Blob(ocispec.MediaTypeImageLayer, data))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(data))
	}
	m.Config = l.JSON(ocispec.MediaTypeImageConfig, config)
	desc := l.JSON(ocispec.MediaTypeImageManifest, m)
	desc.Platform = &platform
	return desc
}

// Index adds a nested index.
func (l *Layout) Index(manifests ...ocispec.Descriptor) ocispec.Descriptor {
	l.t.Helper()
	return l.JSON(ocispec.MediaTypeImageIndex, oci.NewIndex(manifests))
}

// Publish writes the layout with these top-level descriptors and gives its root.
func (l *Layout) Publish(top ...ocispec.Descriptor) cid.Cid {
	l.t.Helper()
	index, err := json.Marshal(oci.NewIndex(top))
	if err != nil {
		l.t.Fatal(err)
	}
	algorithms := map[string]map[string]ipfs.Link{"sha256": {}}
	for d, data := range l.blobs {
		a := d.Algorithm().String()
		if algorithms[a] == nil {
			algorithms[a] = map[string]ipfs.Link{}
		}
		algorithms[a][d.Encoded()] = l.file(data)
		if c, ok := l.Instead[d]; ok {
			algorithms[a][d.Encoded()] = ipfs.Link{CID: c}
		}
	}
	blobs := map[string]ipfs.Link{}
	for a, entries := range algorithms {
		blobs[a] = l.dir(entries)
	}
	root := map[string]ipfs.Link{
		ocispec.ImageLayoutFile: l.file(oci.LayoutFile),
		ocispec.ImageIndexFile:  l.file(index),
		ocispec.ImageBlobsDir:   l.dir(blobs),
	}
	for name, data := range l.Extra {
		root[name] = l.file(data)
	}
	return l.dir(root).CID
}

// Write writes the layout with these top-level descriptors to a directory.
func (l *Layout) Write(dir string, top ...ocispec.Descriptor) {
	l.t.Helper()
	index, err := json.Marshal(oci.NewIndex(top))
	if err != nil {
		l.t.Fatal(err)
	}
	files := map[string][]byte{ocispec.ImageLayoutFile: oci.LayoutFile, ocispec.ImageIndexFile: index}
	for d, data := range l.blobs {
		files[oci.BlobPath(d)] = data
	}
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			l.t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *Layout) file(data []byte) ipfs.Link {
	l.t.Helper()
	link, err := ipfs.AddFile(context.Background(), l.put, bytes.NewReader(data))
	if err != nil {
		l.t.Fatal(err)
	}
	return link
}

func (l *Layout) dir(entries map[string]ipfs.Link) ipfs.Link {
	l.t.Helper()
	link, err := ipfs.AddDirectory(context.Background(), l.put, entries)
	if err != nil {
		l.t.Fatal(err)
	}
	return link
}
