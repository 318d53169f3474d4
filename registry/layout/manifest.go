package layout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry"
)

// Manifest implements [registry.Reader]. Any blob of the layout that is a manifest
// will do, listed or not, and nothing else is read for it. Its media type is the
// one that index.json states, else its own, else what its fields make it.
func (n *Names) Manifest(ctx context.Context, d digest.Digest) (registry.Manifest, error) {
	if err := d.Validate(); err != nil {
		return registry.Manifest{}, fmt.Errorf("%w: digest %q: %v", oci.ErrManifestUnknown, d, err)
	}
	data, err := n.contents.Small(ctx, d)
	switch {
	case err == nil:
	case errors.Is(err, oci.ErrManifestUnknown) || isPassing(ctx, err):
		return registry.Manifest{}, err
	case isSettled(err) && n.isListed(d) && !errors.Is(err, oci.ErrCorrupt):
		return registry.Manifest{}, fmt.Errorf("%w: an index lists %s, but this layout was published without it: %w", oci.ErrManifestUnknown, d, err)
	case errors.Is(err, oci.ErrNotFound):
		return registry.Manifest{}, fmt.Errorf("%w: %w", oci.ErrManifestUnknown, err)
	default:
		return registry.Manifest{}, err
	}
	release, err := ipfs.HoldDecoding(ctx, data)
	if err != nil {
		return registry.Manifest{}, err
	}
	defer release()
	desc, err := n.typed(d, data)
	if err != nil {
		return registry.Manifest{}, err
	}
	if oci.IsIndex(desc.MediaType) {
		n.read.note(data)
	}
	return registry.Manifest{Descriptor: desc, Content: data}, nil
}

// isListed tells whether index.json, or an index that was read, lists a digest.
func (n *Names) isListed(d digest.Digest) bool {
	_, known := n.read.about(d)
	return known || n.byDigest[d] != nil
}

// typed tells what a content is as a manifest, by [oci.ManifestType]. A descriptor that
// calls an index a manifest, or the other way round, is wrong.
func (n *Names) typed(d digest.Digest, data []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{Digest: d, Size: int64(len(data))}
	said, known := n.read.about(d)
	if e := n.byDigest[d]; e != nil {
		said, known = e.Descriptor, true
		desc.MediaType = said.MediaType
	}
	kind, wrong := oci.ManifestType(desc.MediaType, data)
	if wrong != nil {
		kind = cmp.Or(desc.MediaType, oci.SniffMediaType(data))
	}
	desc.MediaType = kind
	if !oci.IsAnyManifest(desc.MediaType) {
		return desc, fmt.Errorf("%w: blob %s of %d bytes is neither a manifest nor an index", oci.ErrManifestUnknown, d, len(data))
	}
	if wrong != nil {
		return desc, fmt.Errorf("%w: %s: %v", oci.ErrManifestInvalid, d, wrong)
	}
	if known && said.Size != desc.Size {
		return desc, fmt.Errorf("%w: %s has %d bytes, its descriptor says %d", oci.ErrManifestInvalid, d, desc.Size, said.Size)
	}
	if known && said.MediaType != "" && oci.IsIndex(said.MediaType) != oci.IsIndex(desc.MediaType) {
		return desc, fmt.Errorf("%w: %s is of type %q, its descriptor says %q", oci.ErrManifestInvalid, d, desc.MediaType, said.MediaType)
	}
	return desc, nil
}

// stated is what descriptors of indices that were read say of their children.
type stated struct {
	mu   sync.Mutex
	said map[digest.Digest]ocispec.Descriptor
}

// maxStated is how many descriptors are remembered.
const maxStated = 2 * oci.MaxManifests

func (s *stated) note(indexJSON []byte) {
	index, err := oci.ParseIndex(indexJSON)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said == nil {
		s.said = map[digest.Digest]ocispec.Descriptor{}
	}
	for _, child := range index.Manifests {
		if _, ok := s.said[child.Digest]; !ok && len(s.said) < maxStated {
			s.said[child.Digest] = ocispec.Descriptor{MediaType: child.MediaType, Size: child.Size}
		}
	}
}

func (s *stated) about(d digest.Digest) (desc ocispec.Descriptor, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	desc, ok = s.said[d]
	return desc, ok
}

func (s *stated) cost() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(512 * len(s.said))
}
