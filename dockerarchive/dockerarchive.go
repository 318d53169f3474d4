// Package dockerarchive turns what docker save writes, and ever wrote, into OCI
// images. It knows nothing of where contents are kept.
package dockerarchive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// Names of the metadata files (docker/docker, "image/spec/v1.2.md").
const (
	ManifestFile     = "manifest.json" // since Docker 1.10
	RepositoriesFile = "repositories"  // before, and beside it
)

var (
	// ErrInvalid is matched by errors about archives that cannot be right.
	ErrInvalid = errors.New("invalid docker archive")
	// ErrMissing is what [Files] return for entries that the archive lacks.
	ErrMissing = errors.New("missing from the archive")
)

// Layer is a layer as it is going to be published.
type Layer struct {
	Descriptor ocispec.Descriptor // media type, digest and size of the stored bytes
	DiffID     digest.Digest      // of the uncompressed tar
}

// Files gives access to the entries of an archive by name, links followed.
// Errors match [ErrMissing].
type Files interface {
	// JSON is the content of a small file. Names are as manifest.json spells them.
	JSON(name string) ([]byte, error)
	// Layer tells what became of an entry that is a layer.
	Layer(name string) (Layer, error)
	// Names lists the entries, sorted.
	Names() []string
}

// Image is one image of an archive. Its layers' contents stay where [Files]
// have them; manifest and config are to be stored.
type Image struct {
	Manifest   []byte
	Descriptor ocispec.Descriptor // of the manifest, with platform
	Config     []byte
	Layers     []ocispec.Descriptor
	Names      []string // "repository:tag" as in the archive; may be empty
}

// manifestEntry is an element of manifest.json.
type manifestEntry struct {
	Config       string
	RepoTags     []string
	Layers       []string
	LayerSources map[string]json.RawMessage
}

// MaxBytes is how many bytes the manifests and configs of an archive's images have
// together at most. A few bytes of an archive may make another image of all the layers
// that others have.
const MaxBytes = 64 << 20

// Convert makes OCI images of an archive of any era. Errors match [ErrInvalid]
// and name the entry, what was expected and what was found, or the limit [MaxBytes]; when
// ctx ends it is the cause of that.
func Convert(ctx context.Context, files Files) ([]Image, error) {
	c := &converter{ctx: ctx, files: files, chain: map[string]link{}}
	data, err := files.JSON(ManifestFile)
	if errors.Is(err, ErrMissing) {
		return c.legacy()
	}
	if err == nil && !listsImages(data) && has(files, RepositoriesFile) { // it is somebody else's
		images, err := c.legacy()
		if err != nil {
			err = fmt.Errorf("%w: %s of %d bytes lists no image; by %s: %w", ErrInvalid, ManifestFile, len(data), RepositoriesFile, err)
		}
		return images, err
	}
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%w: %s is empty, and there is no %s file: save the image again", ErrInvalid, ManifestFile, RepositoriesFile)
	}
	var entries []manifestEntry
	if err := jsontext.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("%w: %s of %d bytes: %w: save the image again", ErrInvalid, ManifestFile, len(data), err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: %s of %d bytes lists no image: save the image again", ErrInvalid, ManifestFile, len(data))
	}
	for i, e := range entries {
		if err := c.entry(e); err != nil {
			return nil, fmt.Errorf("image %d of %s %v: %w", i, ManifestFile, e.RepoTags, err)
		}
	}
	return c.images, nil
}

// converter makes the images of one archive.
type converter struct {
	ctx    context.Context
	files  Files
	images []Image
	bytes  int             // of their manifests and configs
	chain  map[string]link // by id, each read once
}

// add takes one more image.
func (c *converter) add(config []byte, layers []Layer, names []string) error {
	image, err := newImage(config, layers, names)
	if err != nil {
		return err
	}
	if c.bytes += len(image.Config) + len(image.Manifest); c.bytes > MaxBytes {
		return fmt.Errorf("%w: the manifests and configs of its images and of the %d before have more than %d MiB together: save fewer images in one archive", ErrInvalid, len(c.images), MaxBytes>>20)
	}
	c.images = append(c.images, image)
	return context.Cause(c.ctx)
}

// listsImages tells whether a manifest.json is docker save's, a damaged one included:
// what is no JSON, unless it is blank, and a list of which an element names a config or
// layers.
func listsImages(manifestJSON []byte) bool {
	if len(bytes.TrimSpace(manifestJSON)) == 0 {
		return false
	}
	if !json.Valid(manifestJSON) {
		return true
	}
	var elements []json.RawMessage
	if json.Unmarshal(manifestJSON, &elements) != nil {
		return false
	}
	return slices.ContainsFunc(elements, func(element json.RawMessage) bool {
		var fields struct{ Config, Layers json.RawMessage }
		return json.Unmarshal(element, &fields) == nil && (fields.Config != nil || fields.Layers != nil)
	})
}

func has(files Files, name string) bool {
	_, err := files.JSON(name)
	return err == nil
}

func (c *converter) entry(e manifestEntry) error {
	if e.Config == "" {
		return fmt.Errorf("%w: it names no Config, as docker save does: save the image again", ErrInvalid)
	}
	config, err := c.files.JSON(e.Config)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	layers := make([]Layer, len(e.Layers))
	for i, name := range e.Layers {
		if layers[i], err = c.files.Layer(name); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	if config, err = checkConfig(e.Config, config, layers); err != nil {
		return err
	}
	return c.add(config, layers, e.RepoTags)
}

// checkConfig compares the config's diff_ids with the layers. A config without
// any gets them: engines cannot do without (image-spec, "rootfs").
func checkConfig(name string, config []byte, layers []Layer) ([]byte, error) {
	var c ocispec.Image
	if err := jsontext.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("%w: config %s of %d bytes: %w", ErrInvalid, name, len(config), err)
	}
	if len(c.RootFS.DiffIDs) == 0 && len(layers) > 0 {
		var fields map[string]json.RawMessage
		if err := jsontext.Unmarshal(config, &fields); err != nil {
			return nil, fmt.Errorf("%w: config %s: %w", ErrInvalid, name, err)
		}
		return withRootFS(fields, layers)
	}
	if len(c.RootFS.DiffIDs) != len(layers) {
		return nil, fmt.Errorf("%w: config %s has %d diff_ids, the image %d layers: save the image again", ErrInvalid, name, len(c.RootFS.DiffIDs), len(layers))
	}
	for i, want := range c.RootFS.DiffIDs {
		if layers[i].DiffID != want {
			return nil, fmt.Errorf("%w: layer %d: config %s expects diff_id %s, the layer's content has %s: save the image again", ErrInvalid, i, name, want, layers[i].DiffID)
		}
	}
	return config, nil
}

func withRootFS(fields map[string]json.RawMessage, layers []Layer) ([]byte, error) {
	rootfs := ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}
	for _, l := range layers {
		rootfs.DiffIDs = append(rootfs.DiffIDs, l.DiffID)
	}
	data, err := json.Marshal(rootfs)
	if err != nil {
		return nil, err
	}
	fields = maps.Clone(fields)
	fields["rootfs"] = data
	return json.Marshal(fields)
}

func newImage(config []byte, layers []Layer, names []string) (Image, error) {
	image := Image{Config: config, Layers: []ocispec.Descriptor{}, Names: names}
	for _, l := range layers {
		image.Layers = append(image.Layers, l.Descriptor)
	}
	var c ocispec.Image
	if err := jsontext.Unmarshal(config, &c); err != nil {
		return Image{}, fmt.Errorf("%w: config: %w", ErrInvalid, err)
	}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageConfig,
			Digest:    digest.FromBytes(config),
			Size:      int64(len(config)),
		},
		Layers: image.Layers,
	})
	if err != nil {
		return Image{}, err
	}
	image.Manifest = manifest
	image.Descriptor = ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromBytes(manifest),
		Size:      int64(len(manifest)),
	}
	if c.OS != "" && c.Architecture != "" {
		image.Descriptor.Platform = &c.Platform
	}
	return image, nil
}
