package ipfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// Layout is an OCI image layout (image-spec, "OCI Image Layout") under an IPFS
// root. It is safe for concurrent use and never goes stale: its root is a CID.
type Layout struct {
	Root      cid.Cid
	Index     ocispec.Index // the layout's index.json
	IndexJSON []byte        // the same, as it was published

	g     Getter
	blobs *Dir // blobs/

	mu         sync.Mutex
	algorithms map[digest.Algorithm]*Dir // blobs/<algorithm>/
	known      map[digest.Digest]Link    // bounded by maxKnown
}

// ErrNoLayout is matched by errors about directories that are no OCI image
// layouts. It matches [ErrNotFound], too.
var ErrNoLayout = fmt.Errorf("no OCI image layout: %w", ErrNotFound)

const maxKnown = 4096 // blobs a Layout remembers the place of, about 1 MB

// OpenLayout reads index.json under root. Errors match those of g,
// [ErrNoLayout] when root is no layout, [ErrCorrupt] when it is a broken one.
func OpenLayout(ctx context.Context, g Getter, root cid.Cid) (*Layout, error) {
	top, err := OpenDir(ctx, g, root)
	if err != nil {
		return nil, err
	}
	if _, err := top.Lookup(ctx, ocispec.ImageLayoutFile); errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnavailable) {
		return nil, fmt.Errorf("%s is %w: it has no %s", root, ErrNoLayout, ocispec.ImageLayoutFile)
	} else if err != nil {
		return nil, fmt.Errorf("opening %s: %w", root, err)
	}
	l := &Layout{Root: root, g: g, algorithms: map[digest.Algorithm]*Dir{}, known: map[digest.Digest]Link{}}
	c, err := top.Lookup(ctx, ocispec.ImageIndexFile)
	if err != nil {
		return nil, fmt.Errorf("%s is no OCI image layout: %w", root, err)
	}
	if l.IndexJSON, err = ReadFile(ctx, g, c, oci.MaxManifestSize); err != nil {
		return nil, fmt.Errorf("reading index.json: %w", err)
	}
	release, err := HoldDecoding(ctx, l.IndexJSON)
	if err != nil {
		return nil, fmt.Errorf("reading index.json: %w", err)
	}
	l.Index, err = oci.DecodeIndex(l.IndexJSON)
	release()
	if err != nil {
		return nil, fmt.Errorf("%w: index.json of %s: %v", ErrCorrupt, root, err)
	}
	c, err = top.Lookup(ctx, ocispec.ImageBlobsDir)
	if err != nil {
		return nil, err
	}
	if l.blobs, err = OpenDir(ctx, g, c); err != nil {
		return nil, fmt.Errorf("opening blobs/: %w", err)
	}
	return l, nil
}

// Cost is roughly how many bytes of memory the directories and blobs take that l
// remembers. Look-ups make it more.
func (l *Layout) Cost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	cost := int64(256 * len(l.known))
	if l.blobs != nil {
		cost += l.blobs.Cost()
	}
	for _, dir := range l.algorithms {
		cost += dir.Cost()
	}
	return cost
}

// Blob finds the file that holds a blob. The error matches [ErrNotFound] when
// the layout has no such blob.
func (l *Layout) Blob(ctx context.Context, d digest.Digest) (Link, error) {
	if err := d.Validate(); err != nil {
		return Link{}, fmt.Errorf("digest %q: %w", d, err)
	}
	l.mu.Lock()
	link, ok := l.known[d]
	l.mu.Unlock()
	if ok {
		return link, nil
	}
	var err error
	if link.CID, err = l.Locate(ctx, d); err != nil {
		return Link{}, err
	}
	if link.Size, err = FileSize(ctx, l.g, link.CID); err != nil {
		return Link{}, fmt.Errorf("blob %s: %w", d, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxKnown {
		clear(l.known)
	}
	l.known[d] = link
	return link, nil
}

// Locate finds the CID of the file that holds a blob, without reading the
// file. The error matches [ErrNotFound] when the layout has no such blob.
func (l *Layout) Locate(ctx context.Context, d digest.Digest) (cid.Cid, error) {
	link, err := l.entry(ctx, d)
	return link.CID, err
}

// entry is a blob's entry in the directory of its algorithm.
func (l *Layout) entry(ctx context.Context, d digest.Digest) (Link, error) {
	if err := d.Validate(); err != nil {
		return Link{}, fmt.Errorf("digest %q: %w", d, err)
	}
	dir, err := l.algorithm(ctx, d.Algorithm())
	if err != nil {
		return Link{}, fmt.Errorf("blob %s: %w", d, err)
	}
	link, err := dir.entry(ctx, d.Encoded())
	if err != nil {
		return Link{}, fmt.Errorf("blob %s: %w", d, err)
	}
	return link, nil
}

func (l *Layout) algorithm(ctx context.Context, a digest.Algorithm) (*Dir, error) {
	l.mu.Lock()
	dir, ok := l.algorithms[a]
	l.mu.Unlock()
	if ok {
		return dir, nil
	}
	c, err := l.blobs.Lookup(ctx, a.String())
	if err != nil {
		return nil, err
	}
	if dir, err = OpenDir(ctx, l.g, c); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.algorithms[a] = dir
	return dir, nil
}

// Open opens a blob for reading, with up to ahead blocks read ahead.
func (l *Layout) Open(ctx context.Context, d digest.Digest, ahead int) (*File, error) {
	link, err := l.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	return OpenFile(ctx, l.g, link.CID, ahead)
}

// Fetch opens the content of a descriptor and checks its size and digest
// while it is read; it implements [oci.Fetcher].
func (l *Layout) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	f, err := l.Open(ctx, desc.Digest, 16)
	if err != nil {
		return nil, err
	}
	return oci.VerifyReader(f, desc), nil
}

// Manifest reads a manifest, index or config and checks its digest; with Size
// it makes a Layout the [oci.Contents] of its index.
func (l *Layout) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	release, err := HoldReading(ctx, 2*desc.Size) // its buffer grows
	if err != nil {
		return nil, err
	}
	defer release()
	return oci.ReadAll(ctx, l, desc)
}

// Size tells the bytes of a blob; the error matches [oci.ErrNotFound] when the
// layout does not have it.
// A blob of one block is not read for it: its directory tells.
func (l *Layout) Size(ctx context.Context, d digest.Digest) (int64, error) {
	link, err := l.entry(ctx, d)
	if err == nil && link.CID.Prefix().Codec == cid.Raw && link.DAG <= math.MaxInt64 {
		return int64(link.DAG), nil
	}
	if err == nil {
		link, err = l.Blob(ctx, d)
	}
	return link.Size, err
}

// Blobs calls fn for every blob in the layout, reachable or not, in no order.
func (l *Layout) Blobs(ctx context.Context, fn func(d digest.Digest, c cid.Cid) error) error {
	return l.blobs.ForEach(ctx, func(algorithm string, c cid.Cid) error {
		dir, err := OpenDir(ctx, l.g, c)
		if err != nil {
			return err
		}
		return dir.ForEach(ctx, func(hex string, c cid.Cid) error {
			d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)
			if err := d.Validate(); err != nil {
				return fmt.Errorf("%w: %s/%s in layout %s: %v", ErrCorrupt, algorithm, hex, l.Root, err)
			}
			return fn(d, c)
		})
	})
}
