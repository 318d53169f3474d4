// Package layout is the registry of one published root, an OCI image layout on
// IPFS, and the only place that knows what a name means in it: server, resolver,
// pull, publish and the commands ask here.
//
// A question reads what it needs and no more, so what is broken, absent or too
// deep elsewhere in the layout matters to nobody else. What is known of a root
// never goes stale, since the root is a CID.
package layout

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
)

// Layout is an opened root.
type Layout struct {
	*Names
	files *ipfs.Layout
	index int64 // what index.json takes in memory, as text and decoded
}

var (
	_ registry.Reader  = (*Layout)(nil)
	_ registry.Lister  = (*Layout)(nil)
	_ registry.Locator = (*Layout)(nil)
)

// Open reads index.json under root and nothing behind it. Errors are those of
// [ipfs.OpenLayout].
func Open(ctx context.Context, g ipfs.Getter, root cid.Cid) (*Layout, error) {
	files, err := ipfs.OpenLayout(ctx, g, root)
	if err != nil {
		return nil, err
	}
	return &Layout{Names: NewNames(root, files.Index, blobs{files}), files: files, index: ipfs.JSONWeight(files.IndexJSON)}, nil
}

// Check refuses a name that means nothing in the layout, where the whole of that is
// asked for: a root alone always does. Errors are those of [Names.Resolve].
func (l *Layout) Check(ctx context.Context, name ref.Name) error {
	if name.Plain() {
		return nil
	}
	_, err := l.Resolve(ctx, name)
	return err
}

// Files is the same layout as directories and files.
func (l *Layout) Files() *ipfs.Layout { return l.files }

// Cost is roughly how many bytes of memory the layout takes. Questions make it
// more.
func (l *Layout) Cost() int64 {
	return 4096 + l.index + l.files.Cost() + l.Names.Cost()
}

// Locate implements [registry.Locator].
func (l *Layout) Locate(ctx context.Context, d digest.Digest) (registry.Place, error) {
	c, err := l.files.Locate(ctx, d)
	return registry.Place{CID: c, Path: oci.BlobPath(d)}, err
}

// Blob implements [registry.Reader].
func (l *Layout) Blob(ctx context.Context, d digest.Digest) (registry.Blob, error) {
	f, err := l.files.Open(ctx, d, ipfs.ReadAhead)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Reachable follows descriptors, of index.json or not, to all that they need, as
// [oci.Walk] does: what is pulled or verified must be whole. Errors are those of
// Walk.
func (l *Layout) Reachable(ctx context.Context, top ...ocispec.Descriptor) (*oci.Reachable, error) {
	parts := &decoded{Layout: l.files, release: func() {}}
	defer func() { parts.release() }()
	return oci.Walk(ctx, parts, oci.NewIndex(top))
}

// decoded is a layout of which the manifest that was read last is held as long as what
// is made of it, see [ipfs.HoldDecoding].
type decoded struct {
	*ipfs.Layout
	release func()
}

// Manifest implements [oci.Contents].
func (d *decoded) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	d.release()
	d.release = func() {}
	data, err := d.Layout.Manifest(ctx, desc)
	if err != nil {
		return nil, err
	}
	release, err := ipfs.HoldDecoding(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	d.release = release
	return data, nil
}

// blobs are the small contents of a layout on IPFS.
type blobs struct{ files *ipfs.Layout }

// Small implements [Contents].
func (b blobs) Small(ctx context.Context, d digest.Digest) ([]byte, error) {
	size, err := b.files.Size(ctx, d)
	if err != nil {
		return nil, err
	}
	if size > oci.MaxManifestSize {
		return nil, fmt.Errorf("%w: %s has %d bytes, a manifest at most %d", errTooLarge, d, size, oci.MaxManifestSize)
	}
	return b.files.Manifest(ctx, ocispec.Descriptor{Digest: d, Size: size})
}

// errTooLarge is matched by errors about blobs that are too large for manifests,
// and so are none.
var errTooLarge = fmt.Errorf("no manifest: %w", oci.ErrManifestUnknown)

// isPassing tells of an error that may be gone a moment later: nothing follows
// from it about the layout.
func isPassing(ctx context.Context, err error) bool {
	return errors.Is(err, ipfs.ErrUnavailable) || ctx.Err() != nil
}

// isSettled tells that an error about a blob will not change: the layout's own
// directories lack it, or it is not what it should be. Blocks that nobody has at
// the moment may come back.
func isSettled(err error) bool {
	return errors.Is(err, ipfs.ErrNoEntry) || errors.Is(err, oci.ErrCorrupt) || errors.Is(err, oci.ErrManifestUnknown)
}
