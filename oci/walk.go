package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// Limits of what [Walk] follows.
const (
	MaxDepth     = 8         // indices inside indices
	MaxManifests = 10000     // manifests and indices that those which are followed list; each is followed once
	MaxRead      = 256 << 20 // bytes of these
)

// Contents is what [Walk] asks a layout for. Errors match [ErrNotFound] for
// content that is not there.
type Contents interface {
	// Manifest is the content of a manifest or index.
	Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error)
	// Size is the size in bytes of a blob.
	Size(ctx context.Context, d digest.Digest) (int64, error)
}

// Reachable is what a layout's index.json leads to.
type Reachable struct {
	Blobs     []ocispec.Descriptor     // every content that is there, each digest once
	Inline    map[digest.Digest][]byte // those that only a descriptor's data field holds
	Platforms []string                 // of the complete images, as "linux/amd64", each once
	Absent    []string                 // what is named and the layout lacks, for humans: platforms, and Foreign
	Foreign   []ocispec.Descriptor     // layers that are distributed elsewhere and not there, each digest once
}

// manifest has the fields that lead to other content, of every kind of manifest.
type manifest struct {
	Manifests []ocispec.Descriptor `json:"manifests"`
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Blobs     []ocispec.Descriptor `json:"blobs"` // ORAS and OCI artifact manifests
	FSLayers  []struct {           // schema 1
		BlobSum digest.Digest `json:"blobSum"`
	} `json:"fsLayers"`
}

// PartsOf are the manifests that a manifest or index lists, and the contents that it
// names: layers, blobs and the config, in this order. The error is that of reading
// JSON.
func PartsOf(data []byte) (manifests, blobs []ocispec.Descriptor, err error) {
	var m manifest
	if err := jsontext.Unmarshal(data, &m); err != nil {
		return nil, nil, err
	}
	blobs = slices.Concat(m.Layers, m.Blobs)
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	return m.Manifests, blobs, nil
}

// Walk follows index.json through nested indices and manifests to configs and
// layers. Indices may be sparse: platforms that are not there are reported in
// Absent, as long as one is whole. What a top-level manifest needs must be
// there, except layers that are distributed elsewhere (image-spec,
// "Non-Distributable Layers"), which are reported in Foreign and Absent. What each is tells
// [ManifestType]. Errors match [ErrNotFound] or [ErrCorrupt].
func Walk(ctx context.Context, c Contents, index ocispec.Index) (*Reachable, error) {
	w := &walker{
		ctx: ctx, c: c, sizes: map[digest.Digest]int64{}, platforms: map[digest.Digest]string{}, whole: map[digest.Digest]bool{},
		out: &Reachable{Inline: map[digest.Digest][]byte{}},
	}
	if len(index.Manifests) == 0 {
		return nil, fmt.Errorf("%w: index.json lists no image", ErrNotFound)
	}
	for _, desc := range index.Manifests {
		whole, err := w.manifest(desc, 0)
		if err != nil {
			return nil, err
		}
		if !whole {
			return nil, fmt.Errorf("%w: index %s: none of its images is complete: %s", ErrNotFound, desc.Digest, strings.Join(w.out.Absent, "; "))
		}
	}
	return w.out, nil
}

// WalkLimit counts what is followed from index to index, for all who follow them; the
// zero value has counted nothing. Its errors match [ErrLimit].
type WalkLimit struct {
	manifests int
	bytes     int64
}

// Enter counts one more manifest, depth indices below the top.
func (l *WalkLimit) Enter(desc ocispec.Descriptor, depth int) error {
	if l.manifests++; depth > MaxDepth || l.manifests > MaxManifests {
		return fmt.Errorf("%w: manifest %s: more than %d levels of indices or %d manifests", ErrLimit, desc.Digest, MaxDepth, MaxManifests)
	}
	return nil
}

// Read counts n bytes that are read of a manifest, an index or a config.
func (l *WalkLimit) Read(desc ocispec.Descriptor, n int64) error {
	if l.bytes += n; n > MaxManifestSize || l.bytes > MaxRead {
		return fmt.Errorf("%w: manifest %s: more than %d bytes, or %d with those before", ErrLimit, desc.Digest, MaxManifestSize, MaxRead)
	}
	return nil
}

type walker struct {
	ctx       context.Context
	c         Contents
	sizes     map[digest.Digest]int64  // of what is there, as far as it was seen
	platforms map[digest.Digest]string // that configs state
	whole     map[digest.Digest]bool   // manifests that were followed, and whether they can be pulled
	limit     WalkLimit
	out       *Reachable
}

// manifest follows a manifest or index; whole tells whether it can be pulled. What is
// listed several times is followed once.
func (w *walker) manifest(desc ocispec.Descriptor, depth int) (whole bool, err error) {
	if err := w.limit.Enter(desc, depth); err != nil {
		return false, err
	}
	if err := w.content(desc); err != nil {
		kind := "manifest"
		if desc.MediaType != "" && !IsAnyManifest(desc.MediaType) {
			kind = "blob"
		}
		return false, fmt.Errorf("%s %s: %w", kind, desc.Digest, err)
	}
	if desc.MediaType != "" && !IsAnyManifest(desc.MediaType) {
		return true, nil // whatever it is, such as a layer in an index of BuildKit's cache, it leads no further
	}
	if whole, known := w.whole[desc.Digest]; known {
		if desc.Platform != nil {
			w.isFor(FormatPlatform(desc.Platform))
		}
		return whole, nil
	}
	data, inline := w.out.Inline[desc.Digest]
	if !inline {
		if data, err = w.c.Manifest(w.ctx, desc); err != nil {
			return false, fmt.Errorf("manifest %s: %w", desc.Digest, err)
		}
	}
	if err := w.limit.Read(desc, int64(len(data))); err != nil {
		return false, err
	}
	var m manifest
	if err := jsontext.Unmarshal(data, &m); err != nil {
		return false, fmt.Errorf("%w: manifest %s: %v", ErrCorrupt, desc.Digest, err)
	}
	kind, err := ManifestType(desc.MediaType, data)
	if err != nil {
		return false, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if IsIndex(kind) {
		whole, err = w.index(m.Manifests, depth)
	} else {
		whole, err = true, w.image(desc, m)
	}
	if err == nil {
		w.whole[desc.Digest] = whole
	}
	return whole, err
}

func (w *walker) index(children []ocispec.Descriptor, depth int) (whole bool, err error) {
	whole = len(children) == 0
	for _, child := range children {
		ok, err := w.manifest(child, depth+1)
		if isLacking(err) && w.ctx.Err() == nil {
			w.out.Absent = append(w.out.Absent, absence(child, err))
			continue
		}
		if err != nil {
			return false, err
		}
		whole = whole || ok
	}
	return whole, nil
}

// absence says which child of an index is not there, and why.
func absence(child ocispec.Descriptor, why error) string {
	what := FormatPlatform(child.Platform)
	switch {
	case what != "":
	case child.MediaType == "" || IsAnyManifest(child.MediaType):
		what = "a manifest for no stated platform"
	default:
		what = "a blob of type " + child.MediaType
	}
	return fmt.Sprintf("%s (%v)", what, why)
}

func (w *walker) image(desc ocispec.Descriptor, m manifest) error {
	parts := append([]ocispec.Descriptor{}, m.Layers...)
	parts = append(parts, m.Blobs...)
	for _, l := range m.FSLayers {
		size, err := w.size(l.BlobSum)
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.BlobSum, err)
		}
		parts = append(parts, ocispec.Descriptor{Digest: l.BlobSum, Size: size})
	}
	if m.Config != nil {
		if err := w.content(*m.Config); err != nil {
			return fmt.Errorf("config %s: %w", m.Config.Digest, err)
		}
	}
	for i, part := range parts {
		err := w.content(part)
		if isLacking(err) && IsForeign(part) {
			w.foreign(part)
			continue
		}
		if err != nil {
			return fmt.Errorf("layer %d %s: %w", i, part.Digest, err)
		}
	}
	p, err := w.platform(desc, m)
	if err == nil {
		w.isFor(p)
	}
	return err
}

// isFor notes the platform of an image that is complete.
func (w *walker) isFor(platform string) {
	if platform != "" && platform != "unknown/unknown" && !slices.Contains(w.out.Platforms, platform) {
		w.out.Platforms = append(w.out.Platforms, platform)
	}
}

// foreign notes a layer that is not there and need not be.
func (w *walker) foreign(layer ocispec.Descriptor) {
	known := func(f ocispec.Descriptor) bool { return f.Digest == layer.Digest }
	if slices.ContainsFunc(w.out.Foreign, known) {
		return
	}
	w.out.Foreign = append(w.out.Foreign, layer)
	w.out.Absent = append(w.out.Absent, DescribeForeign(layer))
}

// DescribeForeign says for humans which layer is not in a layout, and where it
// is to be had.
func DescribeForeign(layer ocispec.Descriptor) string {
	from := "without a URL to get it from"
	if len(layer.URLs) > 0 {
		from = "to be had from " + strings.Join(layer.URLs, ", ")
	}
	return fmt.Sprintf("layer %s of %d bytes, distributed elsewhere and %s", layer.Digest, layer.Size, from)
}

// platform is that of the descriptor, else the one that the config states.
func (w *walker) platform(desc ocispec.Descriptor, m manifest) (string, error) {
	if desc.Platform != nil || m.Config == nil {
		return FormatPlatform(desc.Platform), nil
	}
	if !IsImageConfig(m.Config.MediaType) {
		return "", nil
	}
	if known, ok := w.platforms[m.Config.Digest]; ok {
		return known, nil
	}
	data, err := w.c.Manifest(w.ctx, *m.Config)
	if err != nil { // whoever needs the config is told
		return "", nil
	}
	if err := w.limit.Read(*m.Config, int64(len(data))); err != nil {
		return "", err
	}
	text := ConfigPlatform(data)
	w.platforms[m.Config.Digest] = text
	return text, nil
}

// content notes that desc is needed and checks that it is there in its size.
func (w *walker) content(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("%w: digest %q: %v", ErrCorrupt, desc.Digest, err)
	}
	if size, seen := w.sizes[desc.Digest]; seen {
		return checkSize(desc, size)
	}
	size, err := w.size(desc.Digest)
	if isLacking(err) && len(desc.Data) > 0 {
		if desc.Digest.Algorithm().FromBytes(desc.Data) != desc.Digest {
			return fmt.Errorf("%w: the descriptor's data has another digest", ErrCorrupt)
		}
		w.out.Inline[desc.Digest], size, err = desc.Data, int64(len(desc.Data)), nil
	}
	if err != nil {
		return err
	}
	if err := checkSize(desc, size); err != nil {
		return err
	}
	w.sizes[desc.Digest] = size
	w.out.Blobs = append(w.out.Blobs, desc)
	return nil
}

// size tells the bytes of a content; lackingError when it is not listed.
func (w *walker) size(d digest.Digest) (int64, error) {
	size, err := w.c.Size(w.ctx, d)
	if errors.Is(err, ErrNotFound) {
		err = lackingError{err}
	}
	return size, err
}

// lackingError is about a content that the layout does not list. One that it lists
// and that cannot be read, though nobody has its bytes, is a fault.
type lackingError struct{ error }

func (l lackingError) Unwrap() error { return l.error }

func isLacking(err error) bool {
	_, ok := errors.AsType[lackingError](err)
	return ok
}

func checkSize(desc ocispec.Descriptor, size int64) error {
	if size != desc.Size {
		return fmt.Errorf("%w: the descriptor says %d bytes, the content has %d", ErrCorrupt, desc.Size, size)
	}
	return nil
}

// IsForeign tells whether a layer may be missing because it is distributed
// elsewhere.
func IsForeign(desc ocispec.Descriptor) bool {
	return len(desc.URLs) > 0 || strings.Contains(desc.MediaType, "nondistributable") || strings.Contains(desc.MediaType, "foreign")
}
