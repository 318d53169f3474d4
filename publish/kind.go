package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/oci"
)

// kind is the format of an archive.
type kind int

const (
	unknown       kind = iota
	ociLayout          // image-spec layout, also skopeo's dir:, whose contents stay as they are
	dockerArchive      // docker save, whose images get new manifests
)

func (k kind) String() string {
	return [...]string{"unknown", "OCI layout", "docker archive"}[k]
}

// view is what the format of an archive is told by, before it is read or after.
type view interface {
	// has tells whether there is an entry.
	has(name string) bool
	// json is the content of a small JSON entry; nil for what is none.
	json(name string) []byte
	// layer is the media type of a layer's bytes; "" for what is none.
	layer(name string) string
}

// kindOf tells the format of an archive by all that it says. An index.json makes
// a layout, unless manifest.json is docker save's list and knows better; any
// other file of that name is somebody else's.
func kindOf(v view) kind {
	manifest := v.json(dockerarchive.ManifestFile)
	saved, isList := dockerarchive.ParseManifest(manifest)
	index, err := oci.ParseIndex(v.json(ocispec.ImageIndexFile))
	hasIndex := err == nil && v.json(ocispec.ImageIndexFile) != nil
	switch {
	case hasIndex && isList && (madeAtSave(v, saved, index) || lacksImages(v, saved, index)):
		return dockerArchive
	case hasIndex:
		return ociLayout
	case isList:
		return dockerArchive
	case oci.SniffMediaType(manifest) != "", v.has(ocispec.ImageIndexFile):
		return ociLayout
	case isObject(manifest) && !v.has(dockerarchive.RepositoriesFile):
		return ociLayout
	case manifest != nil, v.has(dockerarchive.RepositoriesFile):
		return dockerArchive
	}
	return unknown
}

func isObject(text []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) }

// madeAtSave tells whether the layout was made by docker save (Docker 25 and
// later, classic store), which writes layers as they are on disk, uncompressed, and
// lists in index.json the images of manifest.json. Where layers are compressed, or
// more is listed, they are the image's own, as its digests are.
func madeAtSave(v view, saved []dockerarchive.Saved, index ocispec.Index) bool {
	if !slices.ContainsFunc(saved, func(s dockerarchive.Saved) bool { return s.LayerSources }) {
		return false
	}
	configs := map[digest.Digest]bool{}
	for _, s := range saved {
		configs[digest.FromBytes(v.json(s.Config))] = true
		for _, name := range s.Layers {
			if media := v.layer(name); media != "" && media != ocispec.MediaTypeImageLayer {
				return false
			}
		}
	}
	for _, desc := range index.Manifests {
		listed := newManifests(v)
		listed.follow([]ocispec.Descriptor{desc}, 0)
		if listed.indices > 0 || len(listed.layers) != 1 {
			return false
		}
		for config := range listed.layers {
			if !configs[config] {
				return false
			}
		}
	}
	return true
}

// lacksImages tells whether manifest.json has an image, with all its parts, of
// which the layout knows no manifest with as many layers.
func lacksImages(v view, saved []dockerarchive.Saved, index ocispec.Index) bool {
	known := newManifests(v)
	known.follow(index.Manifests, 0)
	lacks := false
	for _, s := range saved {
		config := v.json(s.Config)
		if config == nil || slices.ContainsFunc(s.Layers, func(name string) bool { return v.layer(name) == "" }) {
			return false
		}
		lacks = lacks || !known.layers[digest.FromBytes(config)][len(s.Layers)]
	}
	return lacks
}

// checkOne refuses what is two archives in one: index.json has whole images that are not
// in manifest.json, which has others.
func checkOne(v view) error {
	saved, isList := dockerarchive.ParseManifest(v.json(dockerarchive.ManifestFile))
	index, err := oci.ParseIndex(v.json(ocispec.ImageIndexFile))
	if !isList || err != nil {
		return nil
	}
	known := newManifests(v)
	known.follow(index.Manifests, 0)
	var inManifest []string
	for _, s := range saved {
		config := digest.FromBytes(v.json(s.Config))
		inManifest = append(inManifest, config.String())
		delete(known.layers, config)
	}
	for config := range known.layers {
		if !known.whole[config] {
			delete(known.layers, config)
		}
	}
	if len(known.layers) == 0 {
		return nil
	}
	others := slices.Sorted(maps.Keys(known.layers))
	return fmt.Errorf("%w: it is an OCI layout and a docker archive of other images: index.json leads to config %s, %s to %s: publish them as two archives",
		archive.ErrFormat, others[0], dockerarchive.ManifestFile, strings.Join(inManifest[:min(3, len(inManifest))], ", "))
}

// manifests notes how many layers the manifests of a layout have, by the SHA-256 of
// their configs.
type manifests struct {
	v       view
	layers  map[digest.Digest]map[int]bool
	whole   map[digest.Digest]bool // with config and all layers
	indices int                    // that were followed
	reads   int
}

func newManifests(v view) *manifests {
	return &manifests{v: v, layers: map[digest.Digest]map[int]bool{}, whole: map[digest.Digest]bool{}}
}

func (m *manifests) follow(descs []ocispec.Descriptor, depth int) {
	for _, desc := range descs {
		if m.reads++; m.reads > oci.MaxManifests || depth > oci.MaxDepth || desc.Digest.Validate() != nil {
			return
		}
		data := m.v.json(oci.BlobPath(desc.Digest))
		if data == nil {
			data = desc.Data
		}
		index, err := oci.ParseIndex(data)
		if err != nil {
			continue
		}
		if len(index.Manifests) > 0 {
			m.indices++
			m.follow(index.Manifests, depth+1)
		}
		var image ocispec.Manifest
		if json.Unmarshal(data, &image) == nil && image.Config.Digest.Validate() == nil {
			m.image(image)
		}
	}
}

func (m *manifests) image(image ocispec.Manifest) {
	key := image.Config.Digest
	config := m.v.json(oci.BlobPath(key))
	if config != nil {
		key = digest.FromBytes(config)
	}
	if m.layers[key] == nil {
		m.layers[key] = map[int]bool{}
	}
	m.layers[key][len(image.Layers)] = true
	m.whole[key] = m.whole[key] || config != nil && !slices.ContainsFunc(image.Layers, func(l ocispec.Descriptor) bool {
		return l.Digest.Validate() != nil || !m.v.has(oci.BlobPath(l.Digest))
	})
}

// layerType is the media type that a layer has by its first bytes; empty for what
// is none.
func layerType(head []byte, size int64) string {
	switch {
	case size == 0, archive.IsTar(head):
		return ocispec.MediaTypeImageLayer
	case archive.IsGzip(head):
		return ocispec.MediaTypeImageLayerGzip
	case archive.IsZstd(head):
		return ocispec.MediaTypeImageLayerZstd
	}
	return ""
}

// looksJSON tells JSON objects and arrays, by their first bytes, from tars.
func looksJSON(head []byte) bool {
	text := bytes.TrimLeft(head, " \t\r\n")
	return len(text) > 0 && (text[0] == '{' || text[0] == '[') && !archive.IsTar(head)
}

// unread is an archive that is to be read.
type unread struct{ files *archive.Files }

func (u unread) has(name string) bool { _, _, ok := u.files.Head(name, 0); return ok }

func (u unread) json(name string) []byte {
	head, size, ok := u.files.Head(name, 512)
	if ok && size > int64(len(head)) && size <= oci.MaxManifestSize && looksJSON(head) {
		head, _, ok = u.files.Head(name, size)
	}
	if !ok || size > int64(len(head)) || !looksJSON(head[:min(len(head), 512)]) {
		return nil
	}
	return head
}

func (u unread) layer(name string) string {
	head, size, ok := u.files.Head(name, 512)
	if !ok || looksJSON(head) {
		return ""
	}
	return layerType(head, size)
}

// read is an archive that was read.
type read struct{ in *intake }

func (r read) has(name string) bool { _, err := r.in.lookup(name); return err == nil }

func (r read) json(name string) []byte {
	if it, err := r.in.lookup(name); err == nil {
		return it.data
	}
	return nil
}

func (r read) layer(name string) string {
	if it, err := r.in.lookup(name); err == nil {
		return it.media
	}
	return ""
}

// peek learns before the archive is read which format it has and what its
// layers ought to be, where that is possible.
func (in *intake) peek(ctx context.Context, a *archive.Archive) error {
	files, err := a.Files(ctx)
	if err != nil || files == nil {
		return err
	}
	v := unread{files}
	in.kind = kindOf(v)
	if in.kind == ociLayout {
		in.linked.add(files.Links())
	}
	if in.kind == dockerArchive && in.sink.remembers() {
		in.expected = dockerarchive.Expected(v.json(dockerarchive.ManifestFile), v.json)
	}
	return nil
}

// detect tells the format of an archive that was read to its end.
func (in *intake) detect() (kind, error) {
	k := kindOf(read{in})
	if k == ociLayout {
		return k, nil
	}
	telling := []string{dockerarchive.ManifestFile}
	if k == unknown {
		telling = append(telling, ocispec.ImageIndexFile, dockerarchive.RepositoriesFile)
	}
	for _, name := range telling {
		if err := in.unreadable(name); err != nil {
			return unknown, fmt.Errorf("%w: no image in it: %s: %w", archive.ErrFormat, name, err)
		}
	}
	if k == dockerArchive {
		return k, checkOne(read{in})
	}
	for name := range in.items {
		if id, ok := strings.CutSuffix(name, "/json"); ok && !strings.Contains(id, "/") { // from before Docker 1.10, saved by id
			return dockerArchive, nil
		}
	}
	return unknown, fmt.Errorf("%w: no image in it: %s", archive.ErrFormat, in.advice())
}

var errMissing = dockerarchive.ErrMissing

// JSON is the content of a small JSON entry; also of a manifest.json without anything in
// it, beside which there may be something better.
func (in *intake) JSON(name string) ([]byte, error) {
	it, err := in.lookup(name)
	if err != nil {
		return nil, err
	}
	if it.blank != nil && name == dockerarchive.ManifestFile {
		return it.blank, nil
	}
	if it.data == nil {
		return nil, fmt.Errorf("%w: entry %s: expected a JSON file of at most 4 MiB, found %s", archive.ErrFormat, name, it.describe())
	}
	return it.data, nil
}

// Layer tells how an entry was stored as a layer.
func (in *intake) Layer(name string) (dockerarchive.Layer, error) {
	it, err := in.lookup(name)
	if err != nil {
		return dockerarchive.Layer{}, err
	}
	l := dockerarchive.Layer{DiffID: it.diffID}
	switch {
	case it.fault != nil:
		return l, fmt.Errorf("entry %s: %w", name, it.fault)
	case it.claimed != "" && it.packed == nil && it.media != "" && it.media != ocispec.MediaTypeImageLayer:
		// What its tar is, a pipe cannot find out in time: what is refused from one is from all.
		return l, fmt.Errorf("%w: layer %s of this docker archive is compressed and lies where layouts keep an image's own layers, but no index.json lists an image with it: publish it with --recompress, or save the image again", archive.ErrFormat, name)
	case it.diffID == "":
		return l, fmt.Errorf("%w: entry %s is used as a layer: expected a tar, plain or compressed with gzip or zstd, found %s", archive.ErrFormat, name, it.describe())
	case it.packed != nil:
		l.Descriptor = it.packed.descriptor()
	default:
		l.Descriptor = ocispec.Descriptor{MediaType: it.media, Digest: it.digest, Size: it.raw.Size}
	}
	return l, nil
}
