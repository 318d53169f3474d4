package pushed

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

var noEnd time.Time

// roots makes the roots that come of a manifest: that of its tag, and those of the
// tags to whose images it refers. Records are those of the tags.
func (w *weaver) roots(m Manifest, subject digest.Digest, hold cid.Cid) (made []Root, records []ipfs.Record, err error) {
	add := func(tag string, v tagValue) error {
		root, manifests, err := w.root(tag, ocispec.Descriptor{MediaType: v.MediaType, Digest: v.Digest, Size: v.Size})
		if err != nil {
			return err
		}
		v.Root, v.Manifests = true, manifests
		r, err := record(tagKey(w.repository, tag), root.CID, noEnd, v)
		made, records = append(made, root), append(records, r)
		return err
	}
	subjects := []digest.Digest{subject}
	if m.Tag != "" {
		v := tagValue{Digest: m.Descriptor.Digest, MediaType: m.Descriptor.MediaType, Size: m.Descriptor.Size, Pushed: now()}
		if of := taggedSubject(m.Tag); of != "" {
			subjects = append(subjects, of)
			w.tagged[m.Tag] = v.Digest
			r, err := record(tagKey(w.repository, m.Tag), hold, noEnd, v)
			if err != nil {
				return nil, nil, err
			}
			records = append(records, r)
		} else if err := add(m.Tag, v); err != nil {
			return nil, nil, err
		}
	}
	subjects = slices.DeleteFunc(subjects, func(d digest.Digest) bool { return d == "" })
	if len(subjects) == 0 {
		return made, records, nil
	}
	tags, err := w.g.store.Records(w.ctx, kindTag, w.repository)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range tags {
		v, err := value[tagValue](t)
		if err != nil {
			return nil, nil, err
		}
		refers := slices.ContainsFunc(v.Manifests, func(d digest.Digest) bool { return slices.Contains(subjects, d) })
		if !v.Root || !refers || t.Name == m.Tag {
			continue
		}
		if err := add(t.Name, v); err != nil {
			return nil, nil, err
		}
	}
	return made, records, nil
}

// root makes the layout of the image that has a tag. Manifests are those in it.
func (w *weaver) root(tag string, image ocispec.Descriptor) (_ Root, manifests []digest.Digest, err error) {
	named, err := w.entry(image.Digest, w.repository+":"+tag)
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
			root.Tag = tag
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
	for _, suffix := range referrerSuffixes {
		tag := subject.Algorithm().String() + "-" + subject.Encoded() + suffix
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

// files are the blobs that are needed, by path below blobs/, and their bytes.
func (w *weaver) files(needed *oci.Reachable) (files map[string]ipfs.Link, size int64, err error) {
	files = map[string]ipfs.Link{}
	for _, desc := range needed.Blobs {
		f := w.found[desc.Digest]
		if data, inline := needed.Inline[desc.Digest]; inline && !f.CID.Defined() {
			l, err := ipfs.AddFile(w.ctx, w.tx, bytes.NewReader(data))
			if err != nil {
				return nil, 0, err
			}
			f.link = link(l)
			w.found[desc.Digest] = f
		}
		files[path.Join(desc.Digest.Algorithm().String(), desc.Digest.Encoded())] = ipfs.Link(f.link)
		size += f.Size
	}
	return files, size, nil
}

// layout puts a layout into the transaction.
func (w *weaver) layout(index ocispec.Index, needed *oci.Reachable) (Root, error) {
	blobs, size, err := w.files(needed)
	if err != nil {
		return Root{}, err
	}
	indexJSON, err := json.Marshal(index)
	if err != nil {
		return Root{}, err
	}
	entries := map[string]ipfs.Link{}
	for name, data := range map[string][]byte{ocispec.ImageLayoutFile: oci.LayoutFile, ocispec.ImageIndexFile: indexJSON} {
		if entries[name], err = ipfs.AddFile(w.ctx, w.tx, bytes.NewReader(data)); err != nil {
			return Root{}, err
		}
	}
	if entries[ocispec.ImageBlobsDir], err = ipfs.AddTree(w.ctx, w.tx, blobs); err != nil {
		return Root{}, err
	}
	root, err := ipfs.AddDirectory(w.ctx, w.tx, entries)
	return Root{CID: root.CID, Size: size}, err
}
