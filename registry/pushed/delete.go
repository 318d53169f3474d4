package pushed

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// ErrNeeded is matched by errors about what cannot be deleted, since a manifest of its
// repository needs it.
var ErrNeeded = errors.New("a manifest needs it")

// DeleteTag takes a tag away (distribution-spec, "Deleting tags"). The manifest stays in
// the repository by its digest, and the roots that the tag was stay by their CIDs, until
// they are removed. Without a tag of referrers its image's tags get new roots. The error
// matches [oci.ErrManifestUnknown] or [oci.ErrNameUnknown] when there is no such tag.
func (g *Registry) DeleteTag(ctx context.Context, repository, tag string) (Result, error) {
	return g.change(ctx, repository, func(w *weaver) ([]ipfs.Key, error) {
		if _, err := g.store.Record(ctx, tagKey(repository, tag)); err != nil {
			return nil, g.Repository(repository).unknown(ctx, err, fmt.Sprintf("tag %q", tag))
		}
		if t, ok := oci.ParseReferrerTag(tag); ok {
			w.tagged[tag] = ""
			if err := w.remake(subjects{tags: []oci.ReferrerTag{t}}, nil); err != nil {
				return nil, err
			}
		}
		return []ipfs.Key{tagKey(repository, tag)}, nil
	})
}

// DeleteBlob takes a blob out of a repository (distribution-spec, "Deleting Blobs"). The
// error matches [oci.ErrNotFound], or [ErrNeeded].
func (g *Registry) DeleteBlob(ctx context.Context, repository string, d digest.Digest) error {
	_, err := g.change(ctx, repository, func(*weaver) ([]ipfs.Key, error) {
		if _, err := g.store.Record(ctx, blobKey(repository, d)); err != nil {
			return nil, err
		}
		return []ipfs.Key{blobKey(repository, d)}, g.checkUnneeded(ctx, repository, d)
	})
	return err
}

// checkUnneeded fails with [ErrNeeded] when a manifest reaches d.
func (g *Registry) checkUnneeded(ctx context.Context, repository string, d digest.Digest) error {
	manifests, err := g.store.Records(ctx, kindManifest, repository)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		if m.Name == d.String() {
			continue
		}
		_, err := ipfs.Resolve(ctx, g.store, m.CID, path.Join(d.Algorithm().String(), d.Encoded()))
		if err == nil {
			return fmt.Errorf("%s stays in %q: %w, %s: delete that first", d, repository, ErrNeeded, m.Name)
		}
		if !errors.Is(err, ipfs.ErrNoEntry) {
			return err
		}
	}
	return nil
}

// DeleteManifest takes a manifest out of a repository (distribution-spec, "Deleting
// Manifests"), with the tags that it has, what refers to it, what nothing else of the
// repository needs, blobs a day later, and the roots that came of pushing it and that no
// other name has.
// Tags of images to which it refers get new roots. Errors match
// [oci.ErrManifestUnknown], [oci.ErrNameUnknown], or [ErrNeeded] for one that an index
// lists.
func (g *Registry) DeleteManifest(ctx context.Context, repository string, d digest.Digest) (Result, error) {
	return g.change(ctx, repository, func(w *weaver) ([]ipfs.Key, error) {
		r := &remover{weaver: w, needed: map[digest.Digest]bool{}}
		return r.manifest(d)
	})
}

// remover takes a manifest out.
type remover struct {
	*weaver
	needed map[digest.Digest]bool
	tags   []ipfs.Key // that go with it: its own, and those of what refers to it
}

func (r *remover) manifest(d digest.Digest) (forget []ipfs.Key, err error) {
	g := r.g
	m, v, err := read[manifestValue](r.ctx, g.store, manifestKey(r.repository, d))
	if err != nil {
		return nil, g.Repository(r.repository).unknown(r.ctx, err, "manifest "+d.String())
	}
	if err := g.checkUnneeded(r.ctx, r.repository, d); err != nil {
		return nil, err
	}
	r.deleted = d
	of := subjects{digest: v.Subject}
	if of.tags, err = r.tagsOf(d); err != nil {
		return nil, err
	}
	var gone []string
	for _, k := range r.tags {
		gone = append(gone, k.Name)
	}
	if err := r.remake(of, gone); err != nil {
		return nil, err
	}
	if err := r.findOrphans(d); err != nil {
		return nil, err
	}
	held := map[digest.Digest]bool{d: true}
	if err := r.hold(held, m.CID); err != nil {
		return nil, err
	}
	more, blobs, err := g.unneeded(r.ctx, r.repository, held, r.needed)
	r.blobs = blobs
	return append(r.tags, more...), err
}

// tagsOf takes away the tags that a manifest has; referrers are those of what refers to
// an image. In the histories of others it is no more; what these need is needed.
func (r *remover) tagsOf(d digest.Digest) (referrers []oci.ReferrerTag, err error) {
	tags, err := r.g.store.Records(r.ctx, kindTag, r.repository)
	if err != nil {
		return nil, err
	}
	for _, t := range tags {
		v, err := value[tagValue](t)
		if err != nil {
			return nil, err
		}
		if v.Digest == d {
			r.tags = append(r.tags, t.Key)
			r.orphans = append(r.orphans, t.CID)
			if of, ok := oci.ParseReferrerTag(t.Name); ok {
				referrers = append(referrers, of)
				r.tagged[t.Name] = ""
			}
		} else if !oci.IsReferrerTag(t.Name) {
			r.needed[v.Digest] = true
		}
		left := r.withoutDeleted(v.Past)
		for _, p := range left {
			r.needed[p.Digest] = r.needed[p.Digest] || v.Digest != d
		}
		if v.Digest == d || len(left) == len(v.Past) {
			continue
		}
		v.Past = left
		rec, err := record(t.Key, t.CID, noEnd, v)
		if err != nil {
			return nil, err
		}
		r.records = append(r.records, rec)
	}
	return referrers, nil
}

// hold adds what is in a blobs/ directory, and the same of what refers to one of these,
// by its subject field or by a tag, which goes.
func (r *remover) hold(held map[digest.Digest]bool, blobs cid.Cid) error {
	below := map[digest.Digest]bool{}
	if err := r.g.needs(r.ctx, blobs, below); err != nil {
		return err
	}
	for d := range below {
		held[d] = true
	}
	for d := range below {
		list, err := r.g.store.Records(r.ctx, kindReferrer, referrerSpace(r.repository, d))
		if err != nil {
			return err
		}
		for _, suffix := range oci.ReferrerSuffixes {
			tag, err := r.g.store.Record(r.ctx, tagKey(r.repository, oci.ReferrerTagOf(d, suffix)))
			if errors.Is(err, oci.ErrNotFound) {
				continue
			}
			v, failed := value[tagValue](tag)
			if err := errors.Join(err, failed); err != nil {
				return err
			}
			r.tags = append(r.tags, tag.Key)
			list = append(list, ipfs.Record{Key: ipfs.Key{Name: v.Digest.String()}, CID: tag.CID})
		}
		for _, referrer := range list {
			if held[digest.Digest(referrer.Name)] {
				continue
			}
			if err := r.hold(held, referrer.CID); err != nil {
				return err
			}
		}
	}
	return nil
}

// findOrphans finds the roots that came of pushing a manifest to the repository: a tag
// that is gone may have been them.
func (r *remover) findOrphans(d digest.Digest) error {
	roots, err := r.g.store.Roots(r.ctx)
	if err != nil && !errors.Is(err, oci.ErrCorrupt) {
		return err
	}
	for _, root := range roots {
		here := func(name string) bool { repository, _, _ := ref.CutTag(name); return repository == r.repository }
		if !root.Pushed || !slices.ContainsFunc(root.Names, here) || slices.ContainsFunc(r.orphans, root.CID.Equals) {
			continue
		}
		l, err := ipfs.OpenLayout(r.ctx, r.g.store, root.CID)
		if errors.Is(err, oci.ErrNotFound) || errors.Is(err, oci.ErrCorrupt) {
			continue // rm takes it
		}
		if err != nil {
			return err
		}
		for _, entry := range l.Index.Manifests {
			isImage := func(n oci.ImageName) bool { return !oci.IsReferrerTag(n.Tag) }
			if entry.Digest == d && slices.ContainsFunc(oci.ImageNames(entry), isImage) {
				r.orphans = append(r.orphans, root.CID)
			}
		}
	}
	return nil
}
