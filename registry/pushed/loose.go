package pushed

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Loose is a manifest of a repository that no root of that has: it was pushed by digest
// alone, and is kept with all that it reaches.
type Loose struct {
	Repository string
	Digest     digest.Digest
	Hold       cid.Cid   // the blobs/ of a layout of it
	Holds      []cid.Cid // the same of it and of the loose manifests that it needs
	Size       int64     // bytes of all blobs, each once
	Pushed     time.Time // when it was last pushed
	// Needed tells that it refers to another manifest of the repository, with which it
	// goes, or has a tag of what refers to an image.
	Needed bool
}

// String is "repository@digest".
func (l Loose) String() string { return l.Repository + "@" + l.Digest.String() }

// Loose lists the manifests that no root has, and that no other such needs, by their
// repositories. Beside an error that matches [oci.ErrCorrupt], which is about repositories
// of which it cannot be known, those of the others are given.
func (g *Registry) Loose(ctx context.Context) (all []Loose, err error) {
	repositories, err := g.store.Spaces(ctx, kindManifest)
	if err != nil {
		return nil, err
	}
	roots, err := g.store.Roots(ctx)
	if err != nil { // a damaged record may be that of a root that has one
		return nil, err
	}
	var unknown []error
	for _, repository := range repositories {
		some, err := g.looseIn(ctx, repository, roots)
		if errors.Is(err, oci.ErrNotFound) || errors.Is(err, oci.ErrCorrupt) {
			unknown = append(unknown, fmt.Errorf("%w: looking for manifests of %q that no image has: %w", oci.ErrCorrupt, repository, err))
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, errors.Join(unknown...)
}

// looseIn lists those of a repository.
func (g *Registry) looseIn(ctx context.Context, repository string, roots []ipfs.Root) ([]Loose, error) {
	manifests, err := g.store.Records(ctx, kindManifest, repository)
	if err != nil {
		return nil, err
	}
	has, tagged, err := g.tagged(ctx, repository)
	if err != nil {
		return nil, err
	}
	withRoot := func(m ipfs.Record) bool { return has[digest.Digest(m.Name)] }
	left := slices.DeleteFunc(slices.Clone(manifests), withRoot)
	for _, root := range roots {
		if len(left) == 0 {
			return nil, nil
		}
		if !isOf(root, repository) {
			continue
		}
		if has, err = g.digests(ctx, root.CID); err != nil {
			return nil, err
		}
		left = slices.DeleteFunc(left, withRoot)
	}
	holds, below := map[digest.Digest]cid.Cid{}, map[digest.Digest]map[digest.Digest]bool{}
	needed := map[digest.Digest]bool{}
	for _, m := range left {
		d, needs := digest.Digest(m.Name), map[digest.Digest]bool{}
		if err := g.needs(ctx, m.CID, needs); err != nil {
			return nil, err
		}
		holds[d], below[d] = m.CID, needs
		for other := range needs {
			needed[other] = needed[other] || other != d
		}
	}
	var all []Loose
	for _, m := range left {
		d := digest.Digest(m.Name)
		if needed[d] {
			continue
		}
		v, err := value[manifestValue](m)
		if err != nil {
			return nil, err
		}
		l := Loose{Repository: repository, Digest: d, Hold: m.CID, Pushed: v.Pushed, Needed: tagged[d]}
		l.Needed = l.Needed || slices.ContainsFunc(manifests, func(other ipfs.Record) bool { return other.Name == v.Subject.String() })
		for other := range below[d] {
			if c, ok := holds[other]; ok {
				l.Holds = append(l.Holds, c)
			}
			l.Size += g.sizeOf(ctx, repository, other)
		}
		all = append(all, l)
	}
	return all, nil
}

// tagged are the manifests that the roots of a repository's tags have, and those that have
// a tag without one.
func (g *Registry) tagged(ctx context.Context, repository string) (has, tagged map[digest.Digest]bool, err error) {
	has, tagged = map[digest.Digest]bool{}, map[digest.Digest]bool{}
	tags, err := g.store.Records(ctx, kindTag, repository)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range tags {
		v, err := value[tagValue](t)
		if err != nil {
			return nil, nil, err
		}
		if !v.Root {
			tagged[v.Digest] = true
			continue
		}
		for _, d := range append(v.Manifests, v.Digest) {
			has[d] = true
		}
	}
	return has, tagged, nil
}

// isOf tells whether a root has a name in a repository.
func isOf(root ipfs.Root, repository string) bool {
	return slices.ContainsFunc(root.Names, func(n string) bool { r, _, _ := ref.CutTag(n); return r == repository })
}

// sizeOf is how many bytes a content of a repository has, 0 where that is not known.
func (g *Registry) sizeOf(ctx context.Context, repository string, d digest.Digest) int64 {
	if _, l, err := read[link](ctx, g.store, blobKey(repository, d)); err == nil {
		return l.Size
	}
	_, v, _ := read[manifestValue](ctx, g.store, manifestKey(repository, d))
	return v.File.Size
}

// DiscardLoose takes a manifest out of its repository that is as it was listed, with what
// refers to it and what nothing else of the repository needs. Gone is false for one that
// was pushed anew, or that something needs, meanwhile, and for one that is gone already.
func (g *Registry) DiscardLoose(ctx context.Context, l Loose) (gone bool, err error) {
	_, err = g.change(ctx, l.Repository, func(w *weaver) ([]ipfs.Key, error) {
		roots, err := g.store.Roots(ctx)
		if err != nil {
			return nil, err
		}
		now, err := g.looseIn(ctx, l.Repository, roots)
		same := func(o Loose) bool { return o.Digest == l.Digest && o.Pushed.Equal(l.Pushed) && !o.Needed }
		if err != nil || !slices.ContainsFunc(now, same) {
			return nil, err
		}
		w.atOnce = true // it was there for a day
		forget, err := (&remover{weaver: w, needed: map[digest.Digest]bool{}}).manifest(l.Digest)
		gone = err == nil
		return forget, err
	})
	return gone && err == nil, err
}

// Holders tells what has a manifest of a repository kept: the roots of the tags that have
// it, without such all roots of the repository that do, and where there is none the
// manifest's own record, by what that holds. The error matches [oci.ErrNotFound] when
// there is no such manifest.
func (g *Registry) Holders(ctx context.Context, repository string, d digest.Digest) (roots []cid.Cid, hold cid.Cid, err error) {
	tags, err := g.store.Records(ctx, kindTag, repository)
	if err != nil {
		return nil, cid.Undef, err
	}
	for _, t := range tags {
		v, err := value[tagValue](t)
		if err != nil {
			return nil, cid.Undef, err
		}
		if v.Root && (v.Digest == d || slices.Contains(v.Manifests, d)) {
			roots = append(roots, t.CID)
		}
	}
	if len(roots) > 0 {
		return roots, cid.Undef, nil
	}
	all, err := g.store.Roots(ctx)
	if err != nil && !errors.Is(err, oci.ErrCorrupt) {
		return nil, cid.Undef, err
	}
	blob := path.Join("blobs", d.Algorithm().String(), d.Encoded())
	for _, r := range all {
		if !isOf(r, repository) {
			continue
		}
		if _, err := ipfs.Resolve(ctx, g.store, r.CID, blob); err == nil {
			roots = append(roots, r.CID)
		}
	}
	if len(roots) > 0 {
		return roots, cid.Undef, nil
	}
	m, err := g.store.Record(ctx, manifestKey(repository, d))
	return nil, m.CID, err
}
