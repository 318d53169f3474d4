package resolver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// layout is an opened root. What is known of it never goes stale.
type layout struct {
	*ipfs.Layout
	images *oci.Images

	mu        sync.Mutex
	referrers map[digest.Digest][]ocispec.Descriptor // nil until asked for
}

// layouts are those that were opened last.
type layouts struct {
	mu     sync.Mutex
	opened []*layout // last used at the end
}

const maxLayouts = 16 // held open; an index.json has 4 MiB at most

func (s *layouts) get(root cid.Cid) *layout {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.opened, func(l *layout) bool { return l.Root.Equals(root) })
	if i < 0 {
		return nil
	}
	l := s.opened[i]
	s.opened = append(slices.Delete(s.opened, i, i+1), l)
	return l
}

func (s *layouts) put(l *layout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.opened) == maxLayouts {
		s.opened = slices.Delete(s.opened, 0, 1)
	}
	s.opened = append(s.opened, l)
}

// open gives the layout under root.
func (r *Resolver) open(ctx context.Context, root cid.Cid) (*layout, error) {
	if l := r.layouts.get(root); l != nil {
		return l, nil
	}
	opened, err := ipfs.OpenLayout(ctx, r.blocks, root)
	if err != nil {
		return nil, fmt.Errorf("opening the layout %s: %w", ref.Ciq(root), err)
	}
	l := &layout{Layout: opened, images: oci.NewImages(opened.Index)}
	r.layouts.put(l)
	return l, nil
}

// find selects the image that n means and checks n's digest.
func (l *layout) find(ctx context.Context, n ref.Name) (ocispec.Descriptor, error) {
	desc, err := l.images.Select(n.Repository, n.Tag)
	if n.Digest == "" || err == nil && desc.Digest == n.Digest {
		if err != nil {
			return desc, err
		}
		return l.plain(ctx, desc)
	}
	if n.Tag != "" && err != nil {
		return desc, err
	}
	if n.Tag != "" {
		return desc, fmt.Errorf("%w: the name says that %s is %s, but in this layout it is %s",
			oci.ErrNotFound, oci.ImageName{Repository: n.Repository, Tag: n.Tag}, n.Digest, desc.Digest)
	}
	var found *ocispec.Descriptor
	err = l.manifests(ctx, func(desc ocispec.Descriptor) bool {
		if desc.Digest == n.Digest {
			found = &desc
		}
		return found == nil
	})
	if err != nil {
		return desc, err
	}
	if found == nil {
		var have []string
		for _, image := range l.images.List() {
			have = append(have, image.Descriptor.Digest.String())
		}
		return desc, fmt.Errorf("%w: no image %s in this layout, which has %v", oci.ErrNotFound, n.Digest, have)
	}
	return l.plain(ctx, *found)
}

// plain is desc as a registry would give it: what index.json says besides would
// be taken for properties of the content by containerd. A media type that
// index.json leaves out is that of the content.
func (l *layout) plain(ctx context.Context, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	out := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	if out.MediaType != "" {
		return out, nil
	}
	data, err := l.Manifest(ctx, desc)
	if err != nil {
		return out, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if out.MediaType = oci.SniffMediaType(data); out.MediaType == "" {
		return out, fmt.Errorf("%w: %s is neither a manifest nor an index", oci.ErrCorrupt, desc.Digest)
	}
	return out, nil
}

// Limits of what is read to find a manifest.
const (
	maxDepth     = 8      // indices inside indices
	maxManifests = 10_000 // manifests in one layout
)

// manifests calls yield, until it is false, for the manifests and indices that
// index.json leads to, those nearest to it first. Indices may be sparse.
func (l *layout) manifests(ctx context.Context, yield func(desc ocispec.Descriptor) bool) error {
	seen := map[digest.Digest]bool{}
	level := l.Index.Manifests
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return fmt.Errorf("%w: indices are nested more than %d deep", oci.ErrCorrupt, maxDepth)
		}
		var next []ocispec.Descriptor
		for _, desc := range level {
			if seen[desc.Digest] || desc.Digest.Validate() != nil {
				continue
			}
			if seen[desc.Digest] = true; len(seen) > maxManifests {
				return fmt.Errorf("%w: more than %d manifests", oci.ErrCorrupt, maxManifests)
			}
			if !yield(desc) {
				return nil
			}
			if !oci.IsIndex(desc.MediaType) {
				continue
			}
			data, err := l.Manifest(ctx, desc)
			if isAbsent(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("index %s: %w", desc.Digest, err)
			}
			index, err := oci.ParseIndex(data)
			if err != nil {
				return fmt.Errorf("index %s: %w", desc.Digest, err)
			}
			next = append(next, index.Manifests...)
		}
		level = next
	}
	return nil
}

// isAbsent tells that a layout lacks a blob; a source that failed may have it.
func isAbsent(err error) bool {
	return errors.Is(err, ipfs.ErrNotFound) && !errors.Is(err, ipfs.ErrUnavailable)
}
