package layout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
)

// Resolve implements [registry.Reader].
//
// A digest means whatever lies under blobs/ with it and is a manifest, under any
// repository. A tag means the first image that has the name; one without a
// repository in the layout is found under every repository. In a layout of one
// image every repository and tag mean that, but for tags of what refers to an
// image; "latest", which is meant where a name has no tag, also means the only
// tag of a repository. Next to a digest, a tag must mean the same.
//
// Below a name that moves ([ref.Name.Moving]) repository and tag must be those of the
// layout: what they mean must not become another image because there is one only.
func (n *Names) Resolve(ctx context.Context, name ref.Name) (ocispec.Descriptor, error) {
	find := n.selectEntry
	if name.Moving != "" {
		find = n.exactEntry
	}
	if name.Digest == "" {
		e, err := find(ctx, name.Repository, name.Tag)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		return n.described(ctx, e)
	}
	if name.Tag != "" {
		e, err := find(ctx, name.Repository, name.Tag)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		if e.Descriptor.Digest != name.Digest {
			return ocispec.Descriptor{}, fmt.Errorf("%w: the name says that %s is %s, but under %s it is %s", oci.ErrManifestUnknown,
				oci.ImageName{Repository: name.Repository, Tag: name.Tag}, name.Digest, n, e.Descriptor.Digest)
		}
	}
	m, err := n.Manifest(ctx, name.Digest)
	if errors.Is(err, oci.ErrManifestUnknown) {
		err = fmt.Errorf("%w; index.json lists %s", err, digests(n.entries))
	}
	return m.Descriptor, err
}

// described is an entry's descriptor as a registry would give it. Only one whose
// media type index.json leaves out has to be read.
func (n *Names) described(ctx context.Context, e *entry) (ocispec.Descriptor, error) {
	d := e.Descriptor
	if err := d.Digest.Validate(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: index.json has digest %q: %v", oci.ErrManifestInvalid, d.Digest, err)
	}
	if d.MediaType == "" {
		m, err := n.Manifest(ctx, d.Digest)
		return m.Descriptor, err
	}
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
}

// Entry is what index.json says of a digest; ok is false for one that it does not
// list.
func (n *Names) Entry(d digest.Digest) (listed registry.Image, ok bool) {
	if e := n.byDigest[d]; e != nil {
		return e.Image, true
	}
	return registry.Image{}, false
}

// Listing is what one entry of index.json says of an image: a descriptor, and the names
// in it that were asked for.
type Listing struct {
	Descriptor ocispec.Descriptor
	Names      []oci.ImageName
	others     int // names in it that were not asked for
}

// Exact tells whether the descriptor has no names but those that were asked for.
func (l Listing) Exact() bool { return l.others == 0 }

// Listings are the entries of index.json for a digest that give it a name with repository
// and tag, either of which may be empty for any, in the order of index.json; of entries
// that give the same names the first. Names that are spelt as asked for come before those
// that mean the same, such as a tag without a repository, which is found under each.
func (n *Names) Listings(d digest.Digest, repository, tag string) []Listing {
	e := n.byDigest[d]
	if e == nil {
		return nil
	}
	hasTag := func(name oci.ImageName) bool { return tag == "" || name.Tag == tag }
	exact := func(name oci.ImageName) bool {
		return hasTag(name) && (repository == "" || name.Repository == repository)
	}
	if found := e.listings(exact); len(found) > 0 {
		return found
	}
	return e.listings(func(name oci.ImageName) bool {
		return hasTag(name) && (name.Repository == "" || plain(name.Repository) == plain(repository))
	})
}

func (e *entry) listings(fits func(oci.ImageName) bool) (found []Listing) {
	seen := map[oci.ImageName]bool{}
	for _, desc := range e.listed {
		l := Listing{Descriptor: desc}
		for _, name := range oci.ImageNames(desc) {
			if !fits(name) {
				l.others++
			} else if !seen[name] {
				seen[name] = true
				l.Names = append(l.Names, name)
			}
		}
		if len(l.Names) > 0 {
			found = append(found, l)
		}
	}
	return found
}

// selectEntry finds the entry that repository and tag mean; both may be empty.
func (n *Names) selectEntry(ctx context.Context, repository, tag string) (*entry, error) {
	repository = plain(repository)
	asked := tag
	if tag == "" {
		tag = oci.DefaultTag
	}
	if found := n.named(repository, tag); len(found) > 0 {
		return n.first(ctx, found)
	}
	all, err := n.images(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) == 1 && !oci.IsReferrerTag(tag) {
		return all[0], nil
	}
	if repository == "" {
		return n.withTag(all, asked)
	}
	if tag == oci.DefaultTag {
		if e := n.only(ctx, repository); e != nil {
			return e, nil
		}
	}
	return nil, n.lacks(all, repository, tag)
}

// lacks is the error about a name that no image has.
func (n *Names) lacks(all []*entry, repository, tag string) error {
	what := oci.ImageName{Repository: repository, Tag: tag}
	if n.isRepository(repository) || len(all) == 1 {
		return fmt.Errorf("%w: no %s in this layout, which has %s", oci.ErrManifestUnknown, what, describe(all))
	}
	return fmt.Errorf("%w: no %s in this layout, which has %s", oci.ErrNameUnknown, repository, describe(all))
}

// exactEntry is selectEntry for names that an image of the layout has; a root alone
// means its only image.
func (n *Names) exactEntry(ctx context.Context, repository, tag string) (*entry, error) {
	repository = plain(repository)
	asked := tag
	tag = cmp.Or(tag, oci.DefaultTag)
	if found := n.named(repository, tag); len(found) > 0 {
		return n.first(ctx, found)
	}
	all, err := n.images(ctx)
	if err != nil {
		return nil, err
	}
	if repository != "" {
		return nil, n.lacks(all, repository, tag)
	}
	if asked == "" && len(all) == 1 {
		return all[0], nil
	}
	return n.withTag(all, asked)
}

// named are the entries with a name, or with its tag and no repository of their
// own.
func (n *Names) named(repository, tag string) []*entry {
	if found := n.byName[oci.ImageName{Repository: repository, Tag: tag}]; len(found) > 0 {
		return found
	}
	return n.byName[oci.ImageName{Tag: tag}]
}

// first is the first image among entries of one name, else the first of them:
// no spec settles it, and skopeo does so.
func (n *Names) first(ctx context.Context, found []*entry) (*entry, error) {
	if len(found) == 1 {
		return found[0], nil
	}
	all, err := n.images(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range found {
		if slices.Contains(all, e) {
			return e, nil
		}
	}
	return found[0], nil
}

// withTag answers where no repository is named and several images are there: a
// tag that one of them has under some repository will do; no tag will not.
func (n *Names) withTag(all []*entry, tag string) (*entry, error) {
	if tag == "" || tag == oci.DefaultTag {
		return nil, fmt.Errorf("%w: %s holds %d images, %s: add the name of one", oci.ErrNameUnknown, n, len(all), describe(all))
	}
	var found []*entry
	for _, e := range n.byTag[tag] {
		if slices.Contains(all, e) || len(n.byTag[tag]) == 1 {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w: no tag %s in this layout, which has %s", oci.ErrManifestUnknown, tag, describe(all))
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%w: tag %s is that of several images in this layout, %s: add the name of one", oci.ErrNameUnknown, tag, describe(found))
}

// only is the image of a repository that has one: by its only tag, or without
// any.
func (n *Names) only(ctx context.Context, repository string) *entry {
	tags, untagged := n.tags[repository], n.byName[oci.ImageName{Repository: repository}]
	var found []*entry
	switch {
	case len(tags) == 1 && len(untagged) == 0:
		found = n.byName[oci.ImageName{Repository: repository, Tag: tags[0]}]
	case len(tags) == 0:
		found = untagged
	}
	if len(found) == 0 {
		return nil
	}
	if e, err := n.first(ctx, found); err == nil && (len(tags) == 1 || len(found) == 1) {
		return e
	}
	return nil
}

// Tags implements [registry.Lister]. In a layout with one image every repository
// has that image's tags; tags without a repository are those of every one.
func (n *Names) Tags(ctx context.Context, repository string) ([]string, error) {
	repository = plain(repository)
	tags := slices.Clone(n.tags[repository])
	if repository == "" {
		tags = slices.DeleteFunc(slices.Collect(maps.Keys(n.byTag)), func(tag string) bool { return tag == "" })
	} else if !n.isRepository(repository) {
		all, err := n.images(ctx)
		if err != nil {
			return nil, err
		}
		if len(all) != 1 && !slices.ContainsFunc(n.tags[""], isOrdinary) {
			return nil, fmt.Errorf("%w: no %s in this layout, which has %s", oci.ErrNameUnknown, repository, describe(all))
		}
		if len(all) == 1 {
			tags = all[0].tagged()
		}
	}
	tags = append(tags, n.tags[""]...)
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

// MovingTags is Tags below a name that moves, where a repository must be one of the
// layout's, as [Names.Resolve] says.
func (n *Names) MovingTags(ctx context.Context, repository string) ([]string, error) {
	if p := plain(repository); p != "" && !n.isRepository(p) && !slices.ContainsFunc(n.tags[""], isOrdinary) {
		all, err := n.images(ctx)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: no %s in this layout, which has %s", oci.ErrNameUnknown, repository, describe(all))
	}
	return n.Tags(ctx, repository)
}

// isRepository tells whether an entry has a name in a repository.
func (n *Names) isRepository(repository string) bool {
	return len(n.tags[repository]) > 0 || len(n.byName[oci.ImageName{Repository: repository}]) > 0
}

// isOrdinary tells a tag from those of what refers to an image.
func isOrdinary(tag string) bool { return !oci.IsReferrerTag(tag) }

// tagged are the tags of an image, under any repository.
func (e *entry) tagged() (tags []string) {
	for _, name := range e.Names {
		if name.Tag != "" {
			tags = append(tags, name.Tag)
		}
	}
	return tags
}

// digests lists entries by digest, for who asks by digest.
func digests(entries []*entry) string {
	const most = 10
	var out []string
	for _, e := range entries {
		if len(out) == most {
			out = append(out, "and more")
			break
		}
		out = append(out, e.Descriptor.Digest.String())
	}
	return strings.Join(out, ", ")
}

func describe(entries []*entry) string {
	images := make([]registry.Image, len(entries))
	for i, e := range entries {
		images[i] = e.Image
	}
	return Describe(images)
}
