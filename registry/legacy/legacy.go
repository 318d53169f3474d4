// Package legacy reads the trees that image2ipfs 0.0.1 to 0.1.0 left on IPFS:
//
//	<name>/manifests/latest, or latest-v1 and latest-v2
//	<name>/blobs/sha256:<hex>
//
// where name has one component or several. Manifests without suffix or with -v2
// are image manifests v2, schema 2, or unsigned schema 1; those with -v1 are
// schema 1 for clients of the time and of no use where there is a -v2.
//
// 0.1.0 stored gzip bytes under the digest of the uncompressed tar. Such a
// manifest is corrected: its layers become uncompressed ones, whose digests
// these are, and their blobs are to be inflated (see [Inflated]).
package legacy

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

// Tree is an opened tree. It is not changed after [Open], so it is safe for
// concurrent use.
type Tree struct {
	*layout.Names
	Root cid.Cid
	// Index lists the images under their names. Manifests that need
	// conversion are among them, with schema 1's media type.
	Index  ocispec.Index
	Stored []Image

	g         ipfs.Getter
	places    []place
	kept      int64 // bytes of memory for their directories
	manifests map[digest.Digest][]byte
	inflated  map[digest.Digest]int64 // sizes of the blobs that are to be inflated
	bytes     int64                   // of manifests
}

var (
	_ registry.Reader  = (*Tree)(nil)
	_ registry.Lister  = (*Tree)(nil)
	_ registry.Locator = (*Tree)(nil)
)

// Image is one manifest of a tree.
type Image struct {
	Name       string             // "repository:tag"
	Descriptor ocispec.Descriptor // of the manifest as it is served
	// Corrected tells that the manifest in the tree is another, which no
	// client that checks digests could use.
	Corrected bool
	stored    []byte // the manifest in the tree
	place     place
}

// Schema1 tells whether the image cannot be served before it is converted.
func (i Image) Schema1() bool { return isSchema1(i.Descriptor.MediaType) }

func isSchema1(mediaType string) bool {
	return mediaType == oci.MediaTypeDockerSchema1 || mediaType == oci.MediaTypeDockerSigned1
}

// Sizer tells to how many bytes the gzip file c inflates; [Size] is one.
type Sizer func(ctx context.Context, c cid.Cid) (int64, error)

// Open reads the manifests of the tree under root, and for those that must be
// corrected the config and a few blocks of each layer. Errors match those of g,
// size and [ipfs.ErrNotFound] when root is no such tree.
func Open(ctx context.Context, g ipfs.Getter, root cid.Cid, size Sizer) (*Tree, error) {
	t := &Tree{Root: root, g: g, manifests: map[digest.Digest][]byte{}, inflated: map[digest.Digest]int64{}}
	f := newFinder(g)
	if err := f.find(ctx, root, "", 0); err != nil && !errors.Is(err, ipfs.ErrBudget) {
		return nil, err
	}
	if len(f.found) == 0 {
		return nil, fmt.Errorf("%w: %s has no <name>/manifests and <name>/blobs", ipfs.ErrNotFound, root)
	}
	t.places, t.kept = f.found, f.kept
	var top []ocispec.Descriptor
	for _, p := range t.places {
		images, err := t.read(ctx, p, size)
		if err != nil {
			return nil, fmt.Errorf("reading %s/manifests of %s: %w", p.name, root, err)
		}
		for _, i := range images {
			top = append(top, oci.Named(i.Descriptor, i.Name))
		}
		t.Stored = append(t.Stored, images...)
	}
	if len(top) == 0 {
		return nil, fmt.Errorf("%w: %s has no image manifest", ipfs.ErrNotFound, root)
	}
	t.Index = oci.NewIndex(top)
	t.Names = layout.NewNames(root, t.Index, small(t.manifests))
	return t, nil
}

// read reads the manifests of one name.
func (t *Tree) read(ctx context.Context, p place, size Sizer) ([]Image, error) {
	tags, err := p.tags(ctx)
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, tag := range tags {
		data, err := ipfs.ReadFile(ctx, t.g, tag.cid, oci.MaxManifestSize)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tag.file, err)
		}
		if t.bytes += int64(len(data)); t.bytes > oci.MaxManifestSize {
			return nil, fmt.Errorf("%w: more than %d bytes of manifests", ipfs.ErrCorrupt, int64(oci.MaxManifestSize))
		}
		mediaType := oci.SniffMediaType(data)
		if !oci.IsAnyManifest(mediaType) && !isSchema1(mediaType) {
			continue // no manifest
		}
		i := Image{Name: p.name + ":" + tag.name, stored: data, place: p}
		served, inflated, err := t.correct(ctx, p, data, size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tag.file, err)
		}
		for d, n := range inflated {
			t.inflated[d], i.Corrected = n, true
		}
		i.Descriptor = ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(served), Size: int64(len(served))}
		t.manifests[i.Descriptor.Digest] = served
		images = append(images, i)
	}
	return images, nil
}

// small are the manifests of a tree as they are served; [layout.Names] reads them.
type small map[digest.Digest][]byte

// Small implements [layout.Contents].
func (s small) Small(_ context.Context, d digest.Digest) ([]byte, error) {
	data, ok := s[d]
	if !ok {
		return nil, fmt.Errorf("%w: %s is no manifest of this tree", ipfs.ErrNoEntry, d)
	}
	return data, nil
}

// Manifest implements [registry.Reader]: manifests as they are served. Those of
// schema 1 match [oci.ErrManifestUnknown], since no engine pulls them any more.
func (t *Tree) Manifest(ctx context.Context, d digest.Digest) (registry.Manifest, error) {
	m, err := t.Names.Manifest(ctx, d)
	if media := m.Descriptor.MediaType; err == nil && isSchema1(media) {
		return registry.Manifest{}, fmt.Errorf("%w: image2ipfs 0.0.2 or 0.0.3 published this image as schema 1, which no engine pulls any more; "+
			"make an OCI image of it with: image2ipfs convert %s", oci.ErrManifestUnknown, ref.Ciq(t.Root))
	}
	return m, err
}

// Locate implements [registry.Locator].
func (t *Tree) Locate(ctx context.Context, d digest.Digest) (registry.Place, error) {
	for _, p := range t.places {
		c, err := p.blob(ctx, d)
		if errors.Is(err, ipfs.ErrNoEntry) {
			continue
		}
		if err != nil {
			return registry.Place{}, err
		}
		size, inflate := t.inflated[d]
		return registry.Place{CID: c, Path: p.name + "/blobs/" + d.String(), Inflate: inflate, Size: size}, nil
	}
	return registry.Place{}, fmt.Errorf("blob %s: %w: not in tree %s", d, ipfs.ErrNotFound, t.Root)
}

// Blob implements [registry.Reader]; what is to be inflated is.
func (t *Tree) Blob(ctx context.Context, d digest.Digest) (registry.Blob, error) {
	place, err := t.Locate(ctx, d)
	if err != nil {
		return nil, err
	}
	f, err := ipfs.OpenFile(ctx, t.g, place.CID, ipfs.ReadAhead)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	if place.Inflate {
		return NewInflated(f, d, place.Size), nil
	}
	return f, nil
}

// Cost is roughly how many bytes of memory the tree takes.
func (t *Tree) Cost() int64 {
	return 4096 + t.kept + 2*t.bytes + int64(1024*len(t.Stored)+256*len(t.inflated))
}
