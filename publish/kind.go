package publish

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
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

// telling are the files by which a format is told.
var telling = []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile, dockerarchive.ManifestFile, dockerarchive.RepositoriesFile}

// kindOf tells the format of an archive that has these of the telling files.
func kindOf(files map[string][]byte) kind {
	manifest, hasManifest := files[dockerarchive.ManifestFile]
	_, hasIndex := files[ocispec.ImageIndexFile]
	_, hasLayout := files[ocispec.ImageLayoutFile]
	_, hasRepositories := files[dockerarchive.RepositoriesFile]
	switch {
	case hasManifest && isDirManifest(manifest):
		return ociLayout
	case hasManifest && dockerarchive.MadeAtSave(manifest):
		return dockerArchive
	case hasIndex && hasLayout:
		return ociLayout
	case hasManifest, hasRepositories:
		return dockerArchive
	}
	return unknown
}

// isDirManifest tells the manifest.json of skopeo's dir:, an image's manifest,
// from that of docker save, a list.
func isDirManifest(manifest []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(manifest, " \t\r\n"), []byte("{"))
}

// kind tells the format of an archive that was read to its end.
func (in *intake) detect() (kind, error) {
	files := map[string][]byte{}
	for _, name := range telling {
		if it, err := in.lookup(name); err == nil {
			files[name] = it.data
		}
	}
	if k := kindOf(files); k != unknown {
		return k, nil
	}
	for name := range in.items {
		if strings.HasSuffix(name, "/json") { // from before Docker 1.10, saved by id
			return dockerArchive, nil
		}
	}
	return unknown, fmt.Errorf("%w: no image in it: expected %s with %s, or %s, or %s; found %s", archive.ErrFormat,
		ocispec.ImageLayoutFile, ocispec.ImageIndexFile, dockerarchive.ManifestFile, dockerarchive.RepositoriesFile, in.some())
}

// some lists the first few entries for an error message.
func (in *intake) some() string {
	names := in.Names()
	switch {
	case len(names) == 0:
		return "no files at all"
	case len(names) > 5:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}

// Names lists the entries, sorted; with JSON and Layer it makes an intake the
// [dockerarchive.Files] of its archive.
func (in *intake) Names() []string {
	names := make([]string, 0, len(in.items)+len(in.links))
	for name := range in.items {
		names = append(names, name)
	}
	for name := range in.links {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var errMissing = dockerarchive.ErrMissing

// JSON is the content of a small JSON entry.
func (in *intake) JSON(name string) ([]byte, error) {
	it, err := in.lookup(name)
	if err != nil {
		return nil, err
	}
	if it.data == nil {
		return nil, fmt.Errorf("%w: entry %s is not a JSON file of at most 4 MiB (it has %d bytes)", archive.ErrFormat, name, it.size)
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
	case it.diffID == "" && it.raw != nil && it.media != "": // compressed, in blobs/, which could be an image's own
		return l, fmt.Errorf("%w: layer %s of this docker archive is compressed and lies where layouts keep an image's own layers, which a pipe cannot tell apart in time: publish the archive from a file", archive.ErrFormat, name)
	case it.diffID == "":
		return l, fmt.Errorf("%w: entry %s is used as a layer, but is neither a tar nor one compressed with gzip or zstd", archive.ErrFormat, name)
	case it.packed != nil:
		l.Descriptor = it.packed.descriptor()
	default:
		l.Descriptor = ocispec.Descriptor{MediaType: it.media, Digest: it.digest, Size: it.raw.Size}
	}
	return l, nil
}
