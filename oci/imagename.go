package oci

import (
	"fmt"
	"regexp"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ref"
)

var (
	// ErrNameUnknown is matched by errors about a repository that a layout
	// does not have.
	ErrNameUnknown = fmt.Errorf("image name %w", ErrNotFound)
	// ErrManifestUnknown is matched by errors about a tag or digest by which a
	// layout has no manifest.
	ErrManifestUnknown = fmt.Errorf("manifest %w", ErrNotFound)
	// ErrManifestInvalid is matched by errors about a manifest that is not what
	// a descriptor says of it.
	ErrManifestInvalid = fmt.Errorf("manifest invalid: %w", ErrCorrupt)
)

// DefaultTag is meant where a name has no tag.
const DefaultTag = "latest"

// DefaultRepository stands where a name must have a repository and the image has none.
const DefaultRepository = "image"

// The grammars of names and tags (distribution-spec, "Pulling manifests").
var (
	nameGrammar = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	// digestGrammar also takes what is shortened, such as an ID in RepoTags.
	digestGrammar = regexp.MustCompile(`^(sha256|sha384|sha512):[0-9a-f]{6,}$`)
)

// maxNameLength is what engines allow for a name, in bytes.
const maxNameLength = 255

// ValidName tells whether s is a <name> of the distribution spec.
func ValidName(s string) bool { return len(s) <= maxNameLength && nameGrammar.MatchString(s) }

// ValidTag tells whether s is a tag of the distribution spec.
func ValidTag(s string) bool { return tagGrammar.MatchString(s) }

// ImageName is a name that a layout gives to one of its images. The registry
// host is dropped. Repository is empty where the layout tells a tag only, Tag
// where it names the image by its digest.
type ImageName struct {
	Repository string
	Tag        string
}

// String is "repository:tag", ":tag" without a repository, "repository" without
// a tag.
func (n ImageName) String() string {
	if n.Tag == "" {
		return n.Repository
	}
	return n.Repository + ":" + n.Tag
}

// ImageNames reads the names of a descriptor of index.json from its
// annotations: io.containerd.image.name is a full reference,
// org.opencontainers.image.ref.name a full reference or a tag alone. What
// follows neither grammar is no name. A reference with a digest and no tag names
// a repository alone; one with neither means the default tag, as for engines.
func ImageNames(desc ocispec.Descriptor) []ImageName {
	var names []ImageName
	full, refName := desc.Annotations[AnnotationImageName], desc.Annotations[ocispec.AnnotationRefName]
	tag := DefaultTag
	if ValidTag(refName) {
		tag = refName
	}
	byFull, hasFull := parseImageName(full, tag)
	byRef, hasRef := ImageName{Tag: refName}, ValidTag(refName)
	if strings.ContainsAny(refName, ":/@") {
		byRef, hasRef = parseImageName(refName, DefaultTag)
	} else if hasFull {
		hasRef = false // the tag of the full name
	}
	if hasFull && !(hasRef && byFull.equal(byRef)) {
		names = append(names, byFull)
	}
	if hasRef {
		names = append(names, byRef)
	}
	return names
}

// equal tells whether two names are one to engines, for which "library/app" is
// what people type as "app".
func (n ImageName) equal(other ImageName) bool {
	return n.Tag == other.Tag && ref.TrimLibrary(n.Repository) == ref.TrimLibrary(other.Repository)
}

// parseImageName reads a full reference; defaultTag is that of one with neither
// tag nor digest. A digest alone, as containerd names
// what it has by an ID, is no name.
func parseImageName(reference, defaultTag string) (ImageName, bool) {
	if digestGrammar.MatchString(reference) {
		return ImageName{}, false
	}
	reference, _, digested := strings.Cut(reference, "@")
	name := ImageName{Repository: ref.TrimHost(reference)}
	if repository, tag, tagged := ref.CutTag(name.Repository); tagged {
		name.Repository, name.Tag = repository, tag
		return name, ValidName(repository) && ValidTag(tag)
	}
	if !digested {
		name.Tag = defaultTag
	}
	return name, ValidName(name.Repository)
}
