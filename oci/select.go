package oci

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ref"
)

var (
	// ErrNameUnknown is matched by errors about a repository that a layout
	// does not have.
	ErrNameUnknown = fmt.Errorf("image name %w", ErrNotFound)
	// ErrTagUnknown is matched by errors about a tag that the repository does
	// not have.
	ErrTagUnknown = fmt.Errorf("tag %w", ErrNotFound)
)

// DefaultTag is meant where a name has no tag.
const DefaultTag = "latest"

// The grammars of names and tags (distribution-spec, "Pulling manifests").
var (
	nameGrammar = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	fallbackTag = regexp.MustCompile(`^sha(256|512)-[0-9a-f]{64}`)
)

// maxNameLength is what engines allow for a name, in bytes.
const maxNameLength = 255

// ValidName tells whether s is a <name> of the distribution spec.
func ValidName(s string) bool { return len(s) <= maxNameLength && nameGrammar.MatchString(s) }

// ValidTag tells whether s is a tag of the distribution spec.
func ValidTag(s string) bool { return tagGrammar.MatchString(s) }

// ImageName is a name that a layout gives to one of its images. The registry
// host is dropped. Repository is empty where the layout tells a tag only.
type ImageName struct {
	Repository string
	Tag        string
}

// String is "repository:tag", or ":tag" without a repository.
func (n ImageName) String() string { return n.Repository + ":" + n.Tag }

// ImageNames reads the names of a descriptor of index.json from its
// annotations: io.containerd.image.name is a full reference,
// org.opencontainers.image.ref.name a full reference or a tag alone. What
// follows neither grammar is no name.
func ImageNames(desc ocispec.Descriptor) []ImageName {
	var names []ImageName
	add := func(n ImageName, ok bool) {
		if ok && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	full, refName := desc.Annotations[AnnotationImageName], desc.Annotations[ocispec.AnnotationRefName]
	if full != "" {
		tag := DefaultTag
		if ValidTag(refName) {
			tag = refName
		}
		add(parseImageName(full, tag))
	}
	switch {
	case strings.ContainsAny(refName, ":/"):
		add(parseImageName(refName, DefaultTag))
	case len(names) == 0:
		add(ImageName{Tag: refName}, ValidTag(refName))
	}
	return names
}

func parseImageName(reference, defaultTag string) (ImageName, bool) {
	reference, _, _ = strings.Cut(reference, "@")
	name := ImageName{Repository: ref.TrimHost(reference), Tag: defaultTag}
	if repository, tag, tagged := ref.CutTag(name.Repository); tagged {
		name.Repository, name.Tag = repository, tag
	}
	return name, ValidName(name.Repository) && ValidTag(name.Tag)
}

// Image is one image of a layout: what index.json says of one digest.
type Image struct {
	Descriptor ocispec.Descriptor // as it comes first in index.json
	Names      []ImageName        // of all descriptors with this digest
}

// Images answers which image of a layout a name means. It is safe for
// concurrent use, and [Images.Select] takes the same time for any number of
// images.
type Images struct {
	list   []*Image
	byName map[ImageName][]*Image // key: repository without host and "library/"
	byTag  map[string][]*Image    // under any repository
	tags   map[string][]string    // of each repository
}

// NewImages groups the descriptors of an index.json by digest. Artifacts that
// refer to an image (descriptors with an artifactType or a tag of the
// referrers fallback) are no images as long as there is one beside them.
func NewImages(index ocispec.Index) *Images {
	im := &Images{byName: map[ImageName][]*Image{}, byTag: map[string][]*Image{}, tags: map[string][]string{}}
	type naming struct {
		d    digest.Digest
		name ImageName
	}
	images, named := map[digest.Digest]*Image{}, map[naming]bool{}
	var artifacts []*Image
	for _, desc := range index.Manifests {
		names := ImageNames(desc)
		image := images[desc.Digest]
		if image == nil {
			image = &Image{Descriptor: desc}
			images[desc.Digest] = image
			if isReferrer(desc, names) {
				artifacts = append(artifacts, image)
			} else {
				im.list = append(im.list, image)
			}
		}
		for _, name := range names {
			if key := (naming{desc.Digest, name}); !named[key] {
				named[key] = true
				im.add(name, image)
			}
		}
	}
	if len(im.list) == 0 {
		im.list = artifacts
	}
	return im
}

func isReferrer(desc ocispec.Descriptor, names []ImageName) bool {
	return desc.ArtifactType != "" || len(names) > 0 && fallbackTag.MatchString(names[0].Tag)
}

func (im *Images) add(name ImageName, image *Image) {
	image.Names = append(image.Names, name)
	name.Repository = plain(name.Repository)
	if im.byName[name] == nil {
		im.tags[name.Repository] = append(im.tags[name.Repository], name.Tag)
	}
	im.byName[name] = addDistinct(im.byName[name], image)
	im.byTag[name.Tag] = addDistinct(im.byTag[name.Tag], image)
}

// maxAmbiguous is how many images with one name are told apart.
const maxAmbiguous = 8

func addDistinct(images []*Image, image *Image) []*Image {
	if len(images) == maxAmbiguous || slices.Contains(images, image) {
		return images
	}
	return append(images, image)
}

// plain makes repositories comparable: registry host and "library/" go.
func plain(repository string) string {
	return strings.TrimPrefix(ref.TrimHost(repository), "library/")
}

// List gives the images in the order of index.json.
func (im *Images) List() []Image {
	list := make([]Image, len(im.list))
	for i, image := range im.list {
		list[i] = *image
	}
	return list
}

// Select finds the image that repository and tag mean; both may be empty. A
// layout with one image gives it under any name, but by no tag that asks for
// what refers to an image: it is not its own signature. Otherwise the name must
// be there, and "latest" also means the only tag of a repository. Errors match
// [ErrNameUnknown] or [ErrTagUnknown] and list what there is.
func (im *Images) Select(repository, tag string) (ocispec.Descriptor, error) {
	repository = plain(repository)
	if tag == "" {
		tag = DefaultTag
	}
	found := im.byName[ImageName{repository, tag}]
	switch {
	case len(found) > 0:
	case repository == "":
		found = im.byTag[tag]
	default:
		found = im.byName[ImageName{Tag: tag}]
	}
	switch {
	case len(found) == 1:
		return found[0].Descriptor, nil
	case len(found) > 1:
		return ocispec.Descriptor{}, fmt.Errorf("%w: %s means several images of this layout, %s: ask by digest",
			ErrTagUnknown, ImageName{repository, tag}, describe(found))
	case len(im.list) == 1 && !fallbackTag.MatchString(tag):
		return im.list[0].Descriptor, nil
	}
	tags := im.tags[repository]
	if tag == DefaultTag && len(tags) == 1 {
		if only := im.byName[ImageName{repository, tags[0]}]; len(only) == 1 {
			return only[0].Descriptor, nil
		}
	}
	if len(tags) > 0 || repository == "" || len(im.list) == 1 {
		return ocispec.Descriptor{}, fmt.Errorf("%w: no %s in this layout, which has %s", ErrTagUnknown, ImageName{repository, tag}, describe(im.list))
	}
	return ocispec.Descriptor{}, fmt.Errorf("%w: no %s in this layout, which has %s", ErrNameUnknown, repository, describe(im.list))
}

// Tags lists the tags of a repository in lexical order. In a layout with one
// image every repository has that image's tags, and "latest" when it has none.
// The error matches [ErrNameUnknown] and lists what there is.
func (im *Images) Tags(repository string) ([]string, error) {
	repository = plain(repository)
	tags := slices.Clone(im.tags[repository])
	switch {
	case repository == "" || len(tags) == 0 && len(im.list) == 1:
		tags = slices.Collect(maps.Keys(im.byTag))
		if len(tags) == 0 && len(im.list) == 1 {
			tags = []string{DefaultTag}
		}
	default: // tags without a repository are those of every repository
		tags = append(tags, im.tags[""]...)
	}
	if len(tags) == 0 {
		return nil, fmt.Errorf("%w: no %s in this layout, which has %s", ErrNameUnknown, repository, describe(im.list))
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

// Select is [Images.Select] for a single question.
func Select(index ocispec.Index, repository, tag string) (ocispec.Descriptor, error) {
	return NewImages(index).Select(repository, tag)
}

const maxDescribed = 20 // names in an error message

// describe lists images for humans: their names, digests of unnamed ones.
func describe(images []*Image) string {
	var out []string
	for _, image := range images {
		if len(image.Names) == 0 {
			out = append(out, "@"+image.Descriptor.Digest.String())
		}
		for _, name := range image.Names {
			out = append(out, name.String())
			if len(out) > maxDescribed {
				break
			}
		}
		if len(out) > maxDescribed {
			return fmt.Sprintf("%s and more (%d images)", strings.Join(out[:maxDescribed], ", "), len(images))
		}
	}
	if len(out) == 0 {
		return "no image"
	}
	return strings.Join(out, ", ")
}
