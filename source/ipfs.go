package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
)

const ipfsScheme = "ipfs://"

// openIPFS gives the image of a descriptor that lies on IPFS.
func openIPFS(ctx context.Context, s Spec, o Options) (*Source, error) {
	root, err := ref.ParseRoot(strings.TrimSuffix(s.rest, "/"))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSpelling, s, err)
	}
	if o.Blocks == nil {
		return nil, fmt.Errorf("%w: %s: there is nowhere to read blocks from", ErrSpelling, s)
	}
	blocks, closeIt, err := o.Blocks(ctx)
	if err != nil {
		return nil, err
	}
	from := &scattered{blocks: blocks, root: root, at: map[digest.Digest]cid.Cid{}}
	return &Source{images: newFetched(s.String(), from, ref.Name{}, o.Platforms), close: closeIt}, nil
}

// scattered is an image whose contents lie on IPFS as single files, which descriptors
// name by URLs, ipfs://CID, and which has a descriptor at its root: what nerdctl push
// ipfs:// and ipcs leave. It is a [registry.Reader] of what was read of it.
type scattered struct {
	blocks ipfs.Getter
	root   cid.Cid

	mu sync.Mutex
	at map[digest.Digest]cid.Cid // files of contents, as far as descriptors were seen
}

// Resolve implements [registry.Reader]: there is one image, without tags.
func (s *scattered) Resolve(ctx context.Context, name ref.Name) (ocispec.Descriptor, error) {
	if name.Tag != "" {
		return ocispec.Descriptor{}, fmt.Errorf("%w: %s%s has no tags", oci.ErrManifestUnknown, ipfsScheme, s.root)
	}
	data, err := s.file(ctx, s.root, oci.MaxManifestSize)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var desc ocispec.Descriptor
	if json.Unmarshal(data, &desc) != nil || desc.Digest.Validate() != nil || !s.note(desc) {
		return desc, fmt.Errorf("%w: %s%s: expected the descriptor of an image with a URL ipfs://…, as nerdctl push ipfs:// writes it, found a file of %d bytes that begins with %q", oci.ErrNotFound, ipfsScheme, s.root, len(data), data[:min(len(data), 16)])
	}
	if name.Digest != "" && name.Digest != desc.Digest {
		return desc, fmt.Errorf("%w: %s%s is %s, not %s", oci.ErrManifestUnknown, ipfsScheme, s.root, desc.Digest, name.Digest)
	}
	return ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, nil
}

// note remembers where a descriptor's content lies; false when it does not say.
func (s *scattered) note(desc ocispec.Descriptor) bool {
	for _, url := range desc.URLs {
		path, ok := strings.CutPrefix(url, ipfsScheme)
		if !ok {
			continue
		}
		if c, err := cid.Decode(strings.TrimSuffix(path, "/")); err == nil {
			s.mu.Lock()
			s.at[desc.Digest] = c
			s.mu.Unlock()
			return true
		}
	}
	return false
}

// file reads a small file. Errors match [ipfs.ErrNotFound] or [oci.ErrCorrupt].
func (s *scattered) file(ctx context.Context, c cid.Cid, limit int64) (data []byte, err error) {
	f, err := ipfs.OpenFile(ctx, s.blocks, c, 0)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", ipfsScheme, c, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.Size() > limit {
		return nil, fmt.Errorf("%w: %s%s has %d bytes, at most %d are read; is it a layout? image2ipfs pin add %s keeps that", oci.ErrNotFound, ipfsScheme, c, f.Size(), limit, c)
	}
	data = make([]byte, f.Size())
	for n := 0; n < len(data); {
		m, err := f.Read(data[n:])
		if n += m; err != nil && n < len(data) {
			return nil, fmt.Errorf("%s%s: %w", ipfsScheme, c, err)
		}
	}
	return data, nil
}

// where is the file of a content.
func (s *scattered) where(d digest.Digest) (cid.Cid, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.at[d]; ok {
		return c, nil
	}
	return cid.Undef, fmt.Errorf("%w: no descriptor below %s%s says where %s lies on IPFS", oci.ErrNotFound, ipfsScheme, s.root, d)
}

// Manifest implements [registry.Reader].
func (s *scattered) Manifest(ctx context.Context, d digest.Digest) (registry.Manifest, error) {
	c, err := s.where(d)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("%w: %w", oci.ErrManifestUnknown, err)
	}
	data, err := s.file(ctx, c, oci.MaxManifestSize)
	if err != nil {
		return registry.Manifest{}, err
	}
	if d.Algorithm().FromBytes(data) != d {
		return registry.Manifest{}, fmt.Errorf("%w: %s%s is not manifest %s", oci.ErrManifestInvalid, ipfsScheme, c, d)
	}
	var parts struct {
		Manifests []ocispec.Descriptor `json:"manifests"`
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
	}
	if err := jsontext.Unmarshal(data, &parts); err != nil {
		return registry.Manifest{}, fmt.Errorf("%w: manifest %s: %v", oci.ErrManifestInvalid, d, err)
	}
	if parts.Config != nil {
		s.note(*parts.Config)
	}
	for _, desc := range append(parts.Manifests, parts.Layers...) {
		s.note(desc)
	}
	return registry.Manifest{Descriptor: ocispec.Descriptor{MediaType: oci.SniffMediaType(data), Digest: d, Size: int64(len(data))}, Content: data}, nil
}

// Blob implements [registry.Reader].
func (s *scattered) Blob(ctx context.Context, d digest.Digest) (registry.Blob, error) {
	c, err := s.where(d)
	if err != nil {
		return nil, err
	}
	f, err := ipfs.OpenFile(ctx, s.blocks, c, ipfs.ReadAheadWhole)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", ipfsScheme, c, err)
	}
	return f, nil
}

// Referrers implements [registry.Reader]: there are none.
func (s *scattered) Referrers(context.Context, digest.Digest, ...string) ([]ocispec.Descriptor, error) {
	return nil, nil
}
