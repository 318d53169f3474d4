package pushed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Name is a local name for an image of a published root.
type Name struct {
	Repository string
	Tag        string
	Image      ocispec.Descriptor // media type, digest and size of its manifest or index
	Named      string             // what the root calls it, "repository:tag"; "" for nothing
}

// String is "repository:tag".
func (n Name) String() string { return n.Repository + ":" + n.Tag }

// CheckName refuses what can be no local name: what breaks the grammar
// (distribution-spec, "Pulling manifests"), is one with a root or an IPNS name
// ([CheckRepository]), or is a tag of what refers to an image.
func CheckName(repository, tag string) error {
	if err := CheckRepository(repository); err != nil {
		return err
	}
	switch {
	case !oci.ValidName(repository):
		return fmt.Errorf("%q is no name of a repository: expected lower-case letters, digits, and . _ - / between them, such as team/app:1", repository)
	case !oci.ValidTag(tag):
		return fmt.Errorf("%q is no tag: expected at most 128 letters, digits and . _ -, such as app:1", tag)
	case oci.IsReferrerTag(tag):
		return fmt.Errorf("tag %s is one of what refers to an image, which comes with that image", tag)
	}
	return nil
}

// CheckRepository refuses a repository that begins with a root or an IPNS name, also
// behind what is read as a host, and so means that.
func CheckRepository(repository string) error {
	_, _, _, notMoving := ref.SplitMoving(strings.Split(repository, "/"), nil)
	switch _, err := ref.ParseName(repository); {
	case notMoving == nil:
		return fmt.Errorf("%s begins with an IPNS name, which means what its owner says: a local name begins otherwise", repository)
	case err == nil:
		return fmt.Errorf("%s begins with a CID, which means what it means: a local name begins otherwise", repository)
	}
	return nil
}

// together is how many repositories get their names in one commit: each is locked by a
// file that is open.
const together = 128

// SetNames has local names mean images of a published root, from now on: no CID changes,
// and the repositories have the images with all that they reach and what refers to them.
// By says who wants it so: with [ByTag] a name is moved whatever it was, with [ByPublish]
// only if it is free or was last set so; the others are in the list of those that were
// left. Cut off, it has set the names of some repositories, those of up to 128 at one stroke.
// The error matches [oci.ErrNotFound] when the root is not published on the store.
func (g *Registry) SetNames(ctx context.Context, root cid.Cid, by string, names ...Name) (left []Name, err error) {
	roots, err := g.store.Roots(ctx)
	if err != nil && !errors.Is(err, oci.ErrCorrupt) {
		return nil, err
	}
	i := slices.IndexFunc(roots, func(r ipfs.Root) bool { return r.CID.Equals(root) })
	if i < 0 {
		return nil, fmt.Errorf("%w: %s is not published on the %s: publish it there, or bring it with image2ipfs pin add", oci.ErrNotFound, ref.Ciq(root), g.store)
	}
	in := map[string][]Name{}
	for _, n := range names {
		if err := CheckName(n.Repository, n.Tag); err != nil {
			return nil, err
		}
		in[n.Repository] = append(in[n.Repository], n)
	}
	if len(in) == 0 {
		return nil, nil
	}
	l, err := ipfs.OpenLayout(ctx, ipfs.Verified(g.store), root)
	if err != nil {
		return nil, err
	}
	known := &referrers{}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(in)), together) {
		err := g.locked(ctx, some, func() error {
			not, err := g.setIn(ctx, some, in, roots[i], by, l, known)
			left = append(left, not...)
			return err
		})
		if err != nil {
			return left, err
		}
	}
	return left, nil
}

// setIn sets the names in some repositories, which the caller has locked.
func (g *Registry) setIn(ctx context.Context, repositories []string, names map[string][]Name, root ipfs.Root, by string, l *ipfs.Layout, known *referrers) (left []Name, err error) {
	tx, err := g.store.BeginRecords(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tx.Abort()) }() // after a commit it does nothing
	if err := known.read(g.weaver(ctx, "", tx), l); err != nil {
		return nil, err
	}
	all := g.weaver(ctx, "", tx) // of which the records alone count
	is := ipfs.Root{CID: root.CID, Published: root.Published, Size: root.Size, Pushed: root.Pushed}
	for _, repository := range repositories {
		a := &adopter{weaver: g.weaver(ctx, repository, tx), done: map[digest.Digest]bool{}, known: known}
		a.from = l
		not, set, err := a.names(root, by, names[repository])
		a.let()
		if err != nil {
			return nil, err
		}
		left, is.Names, all.records = append(left, not...), append(is.Names, set...), append(all.records, a.records...)
	}
	if len(is.Names) > 0 {
		// Also where it has the names: somebody may have taken one away since it was looked up.
		all.roots = []ipfs.Root{is}
	}
	_, err = all.commit()
	return left, err
}

// names sets those that may be set, and lists those that it left and those that it set.
func (a *adopter) names(root ipfs.Root, by string, names []Name) (left []Name, set []string, err error) {
	for _, n := range names {
		old, v, err := read[tagValue](a.ctx, a.g.store, tagKey(a.repository, n.Tag))
		switch {
		case err != nil && !errors.Is(err, oci.ErrNotFound):
			return nil, nil, err
		case err == nil && old.CID.Equals(root.CID) && v.Digest == n.Image.Digest && (v.By == by || by == ByPublish):
			continue
		case err == nil && v.By != ByPublish && by != ByTag:
			left = append(left, n)
			continue
		}
		if err := a.set(root.CID, by, n); err != nil {
			return nil, nil, fmt.Errorf("%s as a local name: %w", n, err)
		}
		set = append(set, n.String())
	}
	return left, set, nil
}

// adopter has a repository have images of a published root.
type adopter struct {
	*weaver
	done      map[digest.Digest]bool // manifests
	known     *referrers             // of the root
	read      bool                   // referring is known
	referring []referring            // as the repository has them
}

// referring is an entry of the root's index.json that refers to another manifest.
type referring struct {
	entry   ocispec.Descriptor
	subject digest.Digest
	names   []oci.ImageName
}

// referrers are what of a root refers to something, for all repositories that get names of
// it.
type referrers struct {
	done   bool
	whole  []referring
	unsure []ocispec.Descriptor // entries that are not whole in the root
}

// set has a name mean an image of the root.
func (a *adopter) set(root cid.Cid, by string, n Name) error {
	manifests, err := a.image(n.Image)
	if err != nil {
		return err
	}
	v := tagValue{
		Digest: n.Image.Digest, MediaType: a.found[n.Image.Digest].mediaType, Size: a.found[n.Image.Digest].Size,
		Root: true, Pushed: now(), Manifests: manifests, By: by, Unnamed: n.Named == "",
	}
	if n.Named != n.String() {
		v.Named = n.Named
	}
	_, err = a.move(root, n.Tag, v)
	return err
}

// image keeps an image and all that refers to it, and gives their manifests.
func (a *adopter) image(desc ocispec.Descriptor) (manifests []digest.Digest, err error) {
	top := []ocispec.Descriptor{desc}
	for {
		needed, err := oci.Walk(a.ctx, a, oci.NewIndex(top))
		if err != nil {
			return nil, err
		}
		manifests = manifests[:0]
		for _, b := range needed.Blobs {
			is, err := a.manifest(b)
			if err != nil {
				return nil, err
			}
			if is {
				manifests = append(manifests, b.Digest)
			}
		}
		more, err := a.referrersOf(manifests, top)
		if err != nil {
			return nil, err
		}
		if len(more) == 0 {
			return manifests, a.keepAll(manifests)
		}
		top = append(top, more...)
	}
}

// manifest tells whether a content is one, and notes its type.
func (a *adopter) manifest(b ocispec.Descriptor) (bool, error) {
	f := a.found[b.Digest]
	if f.mediaType != "" {
		return true, nil
	}
	if b.MediaType != "" && !oci.IsAnyManifest(b.MediaType) {
		return false, nil
	}
	f.mediaType = b.MediaType
	if f.mediaType == "" {
		data, err := a.Manifest(a.ctx, b)
		if err != nil {
			return false, err
		}
		f.mediaType = oci.SniffMediaType(data)
	}
	a.found[b.Digest] = f
	return oci.IsAnyManifest(f.mediaType), nil
}

// referrersOf are the entries of index.json that refer to one of the manifests and are
// not among known.
func (a *adopter) referrersOf(manifests []digest.Digest, known []ocispec.Descriptor) (more []ocispec.Descriptor, err error) {
	if err := a.readReferring(); err != nil {
		return nil, err
	}
	for _, r := range a.referring {
		refers := slices.ContainsFunc(manifests, func(d digest.Digest) bool {
			return r.subject == d || slices.ContainsFunc(r.names, func(n oci.ImageName) bool {
				t, ok := oci.ParseReferrerTag(n.Tag)
				return ok && t.IsOf(d)
			})
		})
		if refers && !slices.ContainsFunc(known, func(k ocispec.Descriptor) bool { return k.Digest == r.entry.Digest }) {
			more = append(more, r.entry)
		}
	}
	return more, nil
}

// readReferring finds the entries that refer to something. One that cannot be read, or
// is not whole, refers to nothing; the repository may have what the root lacks.
func (a *adopter) readReferring() error {
	if a.read {
		return nil
	}
	a.read, a.referring = true, slices.Clone(a.known.whole)
	for _, entry := range a.known.unsure {
		r, whole, refers, err := a.refers(entry)
		if err != nil {
			return err
		}
		if whole && refers {
			a.referring = append(a.referring, r)
		}
	}
	return nil
}

// read finds the entries of a root that refer to something, once. W is a weaver of no
// repository.
func (k *referrers) read(w *weaver, l *ipfs.Layout) error {
	if k.done {
		return nil
	}
	w.from = l
	defer w.let()
	a := &adopter{weaver: w}
	for _, entry := range l.Index.Manifests {
		r, whole, refers, err := a.refers(entry)
		switch {
		case err != nil:
			return err
		case !refers:
		case whole:
			k.whole = append(k.whole, r)
		default:
			k.unsure = append(k.unsure, entry)
		}
	}
	k.done = true
	return nil
}

// refers tells whether an entry is whole, and whether it refers to something or, where it
// cannot be read, may do so.
func (a *adopter) refers(entry ocispec.Descriptor) (r referring, whole, refers bool, err error) {
	r = referring{entry: entry}
	for _, n := range oci.ImageNames(entry) {
		if oci.IsReferrerTag(n.Tag) {
			r.names = append(r.names, n)
		}
	}
	_, err = oci.Walk(a.ctx, a, oci.NewIndex([]ocispec.Descriptor{entry}))
	if errors.Is(err, ipfs.ErrUnavailable) || a.ctx.Err() != nil {
		return r, false, false, cmp.Or(err, a.ctx.Err())
	}
	whole = err == nil
	data, err := a.Manifest(a.ctx, entry)
	if err != nil {
		return r, false, true, nil
	}
	var is bool
	r.subject, _, is = oci.Referrer(entry, data)
	return r, whole, is || len(r.names) > 0, nil
}

// keepAll has manifests stay that are whole, and the tags of those that have such.
func (a *adopter) keepAll(manifests []digest.Digest) error {
	for _, d := range manifests {
		if a.done[d] {
			continue
		}
		a.done[d] = true
		f := a.found[d]
		desc := ocispec.Descriptor{MediaType: f.mediaType, Digest: d, Size: f.Size}
		data, err := a.Manifest(a.ctx, desc)
		if err != nil {
			return err
		}
		subject, _, _ := oci.Referrer(desc, data)
		hold, err := a.keep(desc, subject)
		if errors.Is(err, oci.ErrNotFound) { // a platform that the root lacks a layer of
			continue
		}
		if err != nil {
			return err
		}
		if err := a.keepTags(desc, hold); err != nil {
			return err
		}
	}
	return nil
}

// keepTags has the repository find a manifest by the tags of what refers to an image,
// but for those that are something else already.
func (a *adopter) keepTags(desc ocispec.Descriptor, hold cid.Cid) error {
	var tags []string
	for _, r := range a.referring {
		for _, n := range r.names {
			if r.entry.Digest == desc.Digest && !slices.Contains(tags, n.Tag) {
				tags = append(tags, n.Tag)
			}
		}
	}
	for _, tag := range tags {
		_, err := a.g.store.Record(a.ctx, tagKey(a.repository, tag))
		if err == nil {
			continue
		}
		if !errors.Is(err, oci.ErrNotFound) {
			return err
		}
		v := tagValue{Digest: desc.Digest, MediaType: desc.MediaType, Size: desc.Size, Pushed: now(), By: ByPublish}
		rec, err := record(tagKey(a.repository, tag), hold, noEnd, v)
		if err != nil {
			return err
		}
		a.records = append(a.records, rec)
	}
	return nil
}
