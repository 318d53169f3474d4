package pushed

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

var noEnd time.Time

// retag makes the roots that come of a manifest: those of its tags, and those of the
// tags to whose images it refers.
func (w *weaver) retag(m Manifest, subject digest.Digest, hold cid.Cid) error {
	of := subjects{digest: subject}
	v := tagValue{Digest: m.Descriptor.Digest, MediaType: m.Descriptor.MediaType, Size: m.Descriptor.Size, Pushed: now(), By: ByPush}
	var own []string
	for _, tag := range m.Tags {
		t, refers := oci.ParseReferrerTag(tag)
		if !refers {
			own = append(own, tag)
			continue
		}
		of.tags = append(of.tags, t)
		w.tagged[tag] = v.Digest
		r, err := record(tagKey(w.repository, tag), hold, noEnd, v)
		if err != nil {
			return err
		}
		w.records = append(w.records, r)
	}
	for _, tag := range own {
		if err := w.tag(tag, v, false); err != nil {
			return err
		}
	}
	return w.remake(of, m.Tags)
}

// subjects are those to whom something refers by its subject field, and by tags.
type subjects struct {
	digest digest.Digest
	tags   []oci.ReferrerTag
}

func (s subjects) has(d digest.Digest) bool {
	return s.digest == d || slices.ContainsFunc(s.tags, func(t oci.ReferrerTag) bool { return t.IsOf(d) })
}

// remake makes the roots of the tags anew whose images have one of these subjects, but
// for some.
func (w *weaver) remake(of subjects, but []string) error {
	if of.digest == "" && len(of.tags) == 0 {
		return nil
	}
	tags, err := w.g.store.Records(w.ctx, kindTag, w.repository)
	if err != nil {
		return err
	}
	for _, t := range tags {
		v, err := value[tagValue](t)
		if err != nil {
			return err
		}
		if !v.Root || slices.Contains(but, t.Name) || !slices.ContainsFunc(v.Manifests, of.has) {
			continue
		}
		v.Pushed = now()
		if err := w.tag(t.Name, v, true); err != nil {
			return err
		}
	}
	return nil
}

// tag makes the root that a tag is from now on. It is remade when the tag was not pushed.
func (w *weaver) tag(tag string, v tagValue, remade bool) error {
	name := cmp.Or(v.Named, w.repository+":"+tag)
	if v.Unnamed {
		name = ""
	}
	root, manifests, err := w.root(name, v.Digest)
	if err != nil {
		return err
	}
	root.Tag, root.Digest, v.Root, v.Manifests = tag, v.Digest, true, manifests
	if root.Was, err = w.move(root.CID, tag, v); err != nil {
		return err
	}
	root.Remade = remade
	w.made = append(w.made, root)
	w.roots = append(w.roots, ipfs.Root{CID: root.CID, Names: []string{w.repository + ":" + tag}, Published: now(), Size: root.Size, Pushed: true})
	return nil
}

// root makes the layout of an image and what refers to it. Manifests are those in it.
func (w *weaver) root(name string, image digest.Digest) (_ Root, manifests []digest.Digest, err error) {
	named, err := w.entry(image, name)
	if err != nil {
		return Root{}, nil, err
	}
	var referrers []ocispec.Descriptor
	asked := map[digest.Digest]bool{}
	for {
		index := oci.NewIndex(append([]ocispec.Descriptor{named}, referrers...))
		needed, err := oci.Walk(w.ctx, w, index)
		if err != nil {
			return Root{}, nil, err
		}
		manifests = manifests[:0]
		var more []ocispec.Descriptor
		for _, desc := range needed.Blobs {
			f := w.found[desc.Digest]
			if f.mediaType == "" {
				continue
			}
			manifests = append(manifests, desc.Digest)
			if asked[desc.Digest] {
				continue
			}
			asked[desc.Digest] = true
			of, err := w.referrers(desc.Digest)
			if err != nil {
				return Root{}, nil, err
			}
			more = append(more, of...)
		}
		if len(more) == 0 {
			root, err := w.layout(index, needed)
			return root, manifests, err
		}
		referrers = append(referrers, more...)
		slices.SortFunc(referrers, func(a, b ocispec.Descriptor) int {
			return cmp.Or(cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Annotations[ocispec.AnnotationRefName], b.Annotations[ocispec.AnnotationRefName]))
		})
	}
}

// entry is the descriptor of a manifest in index.json: nothing but what follows from
// the manifest itself and its name, which may be empty.
func (w *weaver) entry(d digest.Digest, name string) (ocispec.Descriptor, error) {
	f, err := w.look(d)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: f.mediaType, Digest: d, Size: f.Size}
	data, err := w.Manifest(w.ctx, desc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return oci.Entry(desc, data, name), nil
}

// referrers are the entries of what refers to a manifest, by subject or by tag.
func (w *weaver) referrers(subject digest.Digest) ([]ocispec.Descriptor, error) {
	list, err := w.g.store.Records(w.ctx, kindReferrer, referrerSpace(w.repository, subject))
	if err != nil {
		return nil, err
	}
	names := map[digest.Digest]string{}
	for _, r := range list {
		names[digest.Digest(r.Name)] = ""
	}
	if w.subject == subject {
		names[w.pushed] = ""
	}
	delete(names, w.deleted)
	for _, suffix := range oci.ReferrerSuffixes {
		tag := oci.ReferrerTagOf(subject, suffix)
		d, ok := w.tagged[tag]
		if !ok {
			_, v, err := read[tagValue](w.ctx, w.g.store, tagKey(w.repository, tag))
			if errors.Is(err, oci.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			d = v.Digest
		}
		if d == "" { // taken away
			continue
		}
		names[d] = w.repository + ":" + tag
	}
	var found []ocispec.Descriptor
	for d, name := range names {
		entry, err := w.entry(d, name)
		if err != nil {
			return nil, err
		}
		found = append(found, entry)
	}
	return found, nil
}
