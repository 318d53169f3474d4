package oci

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ref"
)

// AnnotationImageName is where containerd, docker and buildkit put the full
// name of an image in index.json, such as docker.io/library/app:1.
const AnnotationImageName = "io.containerd.image.name"

// LayoutFile is the content of a layout's oci-layout file.
var LayoutFile = []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`)

// CheckLayoutFile refuses an oci-layout file that states another version than
// the one there is (image-spec, "oci-layout file"). Errors match [ErrCorrupt].
func CheckLayoutFile(data []byte) error {
	var l ocispec.ImageLayout
	if err := jsontext.Unmarshal(data, &l); err != nil {
		return fmt.Errorf("%w: %s of %d bytes: %w", ErrCorrupt, ocispec.ImageLayoutFile, len(data), err)
	}
	if l.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("%w: %s says version %q, expected %s, the only one there is: save the image again, with another version of the program that wrote it", ErrCorrupt, ocispec.ImageLayoutFile, l.Version, ocispec.ImageLayoutVersion)
	}
	return nil
}

// BlobPath is the path of a blob inside a layout; empty for a digest that is none, of
// which no layout has a blob.
func BlobPath(d digest.Digest) string {
	if d.Validate() != nil {
		return ""
	}
	return path.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// Named gives desc the annotations by which engines find an image of this name,
// "[host/]repository:tag", in index.json: the full name for containerd, docker
// and BuildKit, and as org.opencontainers.image.ref.name the name as people type
// it, "app:1", by which skopeo and podman look for it and whose tag regctl takes. Of a
// name with tag and digest it is the tag, as in [ImageNames].
func Named(desc ocispec.Descriptor, name string) ocispec.Descriptor {
	if before, _, _ := strings.Cut(name, "@"); before != name {
		if _, _, tagged := ref.CutTag(before); tagged {
			name = before
		}
	}
	full, short := name, name
	if named, err := reference.ParseDockerRef(name); err == nil {
		full, short = named.String(), reference.FamiliarString(named)
		if library := "library/"; strings.HasPrefix(name, library) && !strings.HasPrefix(short, library) { // as it was typed
			short = library + short
		}
	}
	annotations := maps.Clone(desc.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationImageName] = full
	annotations[ocispec.AnnotationRefName] = short
	desc.Annotations = annotations
	return desc
}

// WithoutNames is a descriptor of index.json less those of its names that are taken, by
// another entry. Its other names, and all else that it says, stay.
func WithoutNames(desc ocispec.Descriptor, taken []ImageName) ocispec.Descriptor {
	isTaken := func(annotations map[string]string) bool {
		return slices.ContainsFunc(ImageNames(ocispec.Descriptor{Annotations: annotations}), func(n ImageName) bool {
			return n.Tag != "" && slices.ContainsFunc(taken, n.equal)
		})
	}
	full, hasFull := desc.Annotations[AnnotationImageName]
	refName := desc.Annotations[ocispec.AnnotationRefName]
	ofFull := map[string]string{AnnotationImageName: full}
	isPart := hasFull && ValidTag(refName) // the tag of the full name
	if isPart {
		ofFull[ocispec.AnnotationRefName] = refName
	}
	kept := maps.Clone(desc.Annotations)
	if hasFull && isTaken(ofFull) {
		delete(kept, AnnotationImageName)
		if isPart {
			delete(kept, ocispec.AnnotationRefName)
		}
	}
	if !isPart && isTaken(map[string]string{ocispec.AnnotationRefName: refName}) {
		delete(kept, ocispec.AnnotationRefName)
	}
	desc.Annotations = kept
	return desc
}

// Familiar gives those of the descriptors of an index.json whose full name is
// known, and whose org.opencontainers.image.ref.name is its tag alone, as BuildKit
// and containerd write it, the name as people type it, as [Named] does; changed
// tells whether there are any. All else that descriptors say stays, another
// ref.name too.
func Familiar(manifests []ocispec.Descriptor) (all []ocispec.Descriptor, changed bool) {
	all = slices.Clone(manifests)
	for i, desc := range all {
		full, refName := desc.Annotations[AnnotationImageName], desc.Annotations[ocispec.AnnotationRefName]
		name, ok := parseImageName(full, cmp.Or(refName, DefaultTag))
		if !ok || strings.Contains(full, "@") || refName != "" && refName != name.Tag {
			continue
		}
		if _, tag, _ := ref.CutTag(full); tag == "" { // else it would mean another
			full += ":" + name.Tag
		}
		named, err := reference.ParseDockerRef(full)
		if err != nil {
			continue
		}
		desc.Annotations = maps.Clone(desc.Annotations)
		desc.Annotations[AnnotationImageName] = full
		desc.Annotations[ocispec.AnnotationRefName] = reference.FamiliarString(named)
		all[i], changed = desc, true
	}
	return all, changed
}

// ValidImageName tells whether name, "repository:tag" with or without a registry
// host, is one that engines take.
func ValidImageName(name string) bool {
	_, err := reference.ParseDockerRef(name)
	return err == nil && !digestGrammar.MatchString(name) && len(ImageNames(Named(ocispec.Descriptor{}, name))) > 0
}

// ManifestsOf are the manifests that an index lists, whose content is given; none for a
// manifest, and nothing else that an index may list. Errors match [ErrCorrupt].
func ManifestsOf(mediaType string, content []byte) ([]ocispec.Descriptor, error) {
	if !IsIndex(mediaType) {
		return nil, nil
	}
	index, err := ParseIndex(content)
	return slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool {
		return d.MediaType != "" && !IsAnyManifest(d.MediaType)
	}), err
}

// NewIndex makes an index.json of top-level descriptors.
func NewIndex(manifests []ocispec.Descriptor) ocispec.Index {
	return ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: manifests,
	}
}

// maxIndexed is how many descriptors an index may have: no layout has more
// manifests. 4 MiB of JSON can have a million, each of which takes a hundred
// times its bytes in memory.
const maxIndexed = MaxManifests

// DecodeIndex decodes an index, whatever its version, if it is none of too many
// descriptors.
func DecodeIndex(data []byte) (index ocispec.Index, err error) {
	var counted struct {
		Manifests counter `json:"manifests"`
	}
	if err = jsontext.Unmarshal(data, &counted); err == nil {
		err = jsontext.Unmarshal(data, &index)
	}
	return index, err
}

// counter counts the elements of an array before anything is made of them.
type counter struct{}

func (counter) UnmarshalJSON(array []byte) error {
	var all []struct{}              // which take no memory
	_ = json.Unmarshal(array, &all) // what is of wrong types is counted, and found out by whoever reads it
	if len(all) > maxIndexed {
		return fmt.Errorf("it has %d descriptors, at most %d are allowed", len(all), maxIndexed)
	}
	return nil
}

// ParseIndex reads an index.json or a nested index. Which schemaVersion it
// states, if any, does not matter: bytes are what their digest says, and skopeo
// and podman take it all the same. Errors match [ErrCorrupt].
func ParseIndex(data []byte) (ocispec.Index, error) {
	index, err := DecodeIndex(data)
	if err != nil {
		return index, fmt.Errorf("%w: index of %d bytes: %v", ErrCorrupt, len(data), err)
	}
	return index, nil
}
