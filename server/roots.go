package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/legacy"
)

// Limits of what is read to open a layout.
const (
	maxIndexDepth = 8        // indices inside indices
	maxIndices    = 256      // nested indices in one layout
	maxManifests  = 10_000   // manifests in one layout
	maxIndexBytes = 16 << 20 // of index.json and nested indices together
)

// layout is an opened root with what requests look up in it.
type layout struct {
	*ipfs.Layout
	old    *legacy.Tree // in place of Layout's blobs, for what older versions published
	images *oci.Images
	// manifests are all that index.json leads to, in breadth-first order.
	manifests []ocispec.Descriptor
	types     map[digest.Digest]string // media types of the same
	cost      int64                    // bytes of memory, roughly, beside Layout's
	keptIn    *lru[cid.Cid, *layout]
	// missing is why the table is not whole: an index that the layout has could
	// not be had. Then the layout is forgotten soon.
	missing error
	until   time.Time
}

// Locate is that of the Layout, which keeps the directories that it opens.
func (l *layout) Locate(ctx context.Context, d digest.Digest) (cid.Cid, error) {
	defer l.recount()
	return l.Layout.Locate(ctx, d)
}

// Blob is that of the Layout, which keeps what it finds.
func (l *layout) Blob(ctx context.Context, d digest.Digest) (ipfs.Link, error) {
	defer l.recount()
	return l.Layout.Blob(ctx, d)
}

func (l *layout) recount() { l.keptIn.weigh(l.Root, l.total()) }

func (l *layout) total() int64 { return l.cost + l.Layout.Cost() }

func (l *layout) expired() bool { return l.missing != nil && time.Now().After(l.until) }

// roots opens layouts and keeps them: a root is a CID, so what is known of it
// never goes stale.
type roots struct {
	local    ipfs.Getter
	metadata ipfs.Getter
	old      *oldTrees
	opened   *lru[cid.Cid, *layout]
	failed   *lru[cid.Cid, failure]
	opening  *flights[cid.Cid, *layout]
	slots    chan struct{} // one for each foreign layout being opened
}

// failure is remembered for a moment, so that a root that nobody has is not
// asked for again and again.
type failure struct {
	err   error
	until time.Time
}

const failureMemory = 2 * time.Second

func newRoots(life *lifetime, local, metadata ipfs.Getter, old *oldTrees, limits Limits) *roots {
	return &roots{
		local: local, metadata: metadata, old: old,
		opened:  newLRU[cid.Cid, *layout](limits.Layouts),
		failed:  newLRU[cid.Cid, failure](1000),
		opening: newFlights[cid.Cid, *layout](life, limits.Open),
		slots:   make(chan struct{}, limits.Opening),
	}
}

// open gives the layout under root. Errors have the code NAME_UNKNOWN when
// there is none.
func (s *roots) open(ctx context.Context, root cid.Cid) (*layout, error) {
	if l, ok := s.opened.get(root); ok && !l.expired() {
		return l, nil
	}
	_, notHere := s.local.Get(ctx, root)
	if f, ok := s.failed.get(root); ok && notHere != nil && time.Now().Before(f.until) {
		return nil, f.err
	}
	l, err := s.opening.join(root, func(ctx context.Context) (*layout, error) {
		l, err := s.read(ctx, root, notHere != nil)
		if err != nil {
			err = absent(codeNameUnknown, fmt.Errorf("no image under %s: %w", ref.Ciq(root), err))
			s.failed.put(root, failure{err, time.Now().Add(failureMemory)}, 1)
			return nil, err
		}
		l.until = time.Now().Add(failureMemory)
		s.opened.put(root, l, l.total())
		return l, nil
	}).wait(ctx)
	return l, absent(codeNameUnknown, err)
}

func (s *roots) read(ctx context.Context, root cid.Cid, foreign bool) (*layout, error) {
	if foreign {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-ctx.Done():
			return nil, errorf(codeTooMany, "too many images are being looked up: try again")
		}
	}
	opened, err := ipfs.OpenLayout(ctx, s.metadata, root)
	if errors.Is(err, ipfs.ErrNoLayout) {
		if old, oldErr := s.old.read(ctx, root, s.opened); !isAbsent(oldErr) {
			return old, oldErr
		}
	}
	if err != nil {
		return nil, err
	}
	l := &layout{Layout: opened, images: oci.NewImages(opened.Index), types: map[digest.Digest]string{}, keptIn: s.opened}
	if err := l.walk(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// walk fills the table of manifests from index.json and the indices it leads
// to. Indices may be sparse: a child that the layout lacks is in the table, but
// nothing is behind it.
func (l *layout) walk(ctx context.Context) error {
	bytes, indices := int64(len(l.IndexJSON)), 0
	level := l.Index.Manifests
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxIndexDepth {
			return fmt.Errorf("%w: indices are nested more than %d deep", ipfs.ErrIntegrity, maxIndexDepth)
		}
		var next []ocispec.Descriptor
		for _, desc := range level {
			if !l.note(desc) || !oci.IsIndex(desc.MediaType) {
				continue
			}
			children, size, err := l.children(ctx, desc)
			if err != nil {
				return err
			}
			next = append(next, children...)
			bytes += size
			if indices++; indices > maxIndices || bytes > maxIndexBytes || len(l.manifests)+len(next) > maxManifests {
				return fmt.Errorf("%w: the layout has more than %d indices, %d manifests or %d bytes of indices", ipfs.ErrIntegrity, maxIndices, maxManifests, maxIndexBytes)
			}
		}
		level = next
	}
	l.cost = 3*bytes + 1024*int64(len(l.manifests)) + 4096
	return nil
}

// note puts desc into the table; false when it was there before, or its digest
// is none.
func (l *layout) note(desc ocispec.Descriptor) bool {
	if _, ok := l.types[desc.Digest]; ok || desc.Digest.Validate() != nil {
		return false
	}
	l.types[desc.Digest] = desc.MediaType
	l.manifests = append(l.manifests, ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size})
	return true
}

// children reads a nested index; the layout may lack it, which its directories
// tell. One that is only out of reach is remembered as missing.
func (l *layout) children(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, int64, error) {
	data, err := oci.ReadAll(ctx, l.Layout, desc)
	switch {
	case errors.Is(err, ipfs.ErrNoEntry):
		return nil, 0, nil
	case isAbsent(err):
		l.missing = fmt.Errorf("%w: index %s of this layout: %w", ipfs.ErrUnavailable, desc.Digest, err)
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading index %s: %w", desc.Digest, err)
	}
	index, err := oci.ParseIndex(data)
	if err != nil {
		return nil, int64(len(data)), nil // what is no index has no children
	}
	return index.Manifests, int64(len(data)), nil
}
