package pushed

import (
	"context"
	"errors"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Drop takes what a root holds out of the repositories of its names, before the store
// stops keeping it: tags that are it, and manifests and blobs that nothing else of the
// repository needs. Of a root that cannot be read the tags go.
func (g *Registry) Drop(ctx context.Context, root cid.Cid) error {
	roots, err := g.store.Roots(ctx)
	if err != nil && !errors.Is(err, oci.ErrCorrupt) {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(roots), func(r ipfs.Root) bool { return r.CID.Equals(root) })
	repositories, err := g.repositoriesOf(ctx, root, roots)
	if err != nil || len(repositories) == 0 {
		return err
	}
	held, err := g.digests(ctx, root)
	if err != nil && !errors.Is(err, oci.ErrNotFound) && !errors.Is(err, oci.ErrCorrupt) {
		return err
	}
	for _, repository := range repositories {
		err := g.locked(ctx, []string{repository}, func() error {
			return g.dropFrom(ctx, repository, root, held, others)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// locked runs fn while nobody else changes records of the repositories, which are sorted.
func (g *Registry) locked(ctx context.Context, repositories []string, fn func() error) (err error) {
	for _, repository := range repositories {
		unlock, failed := g.store.LockSpace(ctx, repository)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, unlock()) }()
	}
	return fn()
}

// repositoriesOf are those of a root's names; of one whose names cannot be read, those
// with a tag that is it.
func (g *Registry) repositoriesOf(ctx context.Context, root cid.Cid, roots []ipfs.Root) (all []string, err error) {
	for _, r := range roots {
		if !r.CID.Equals(root) {
			continue
		}
		for _, name := range r.Names {
			repository, _, _ := ref.CutTag(name)
			all = append(all, repository)
		}
		slices.Sort(all)
		return slices.Compact(all), nil
	}
	repositories, err := g.store.Spaces(ctx, kindTag)
	if err != nil {
		return nil, err
	}
	for _, repository := range repositories {
		tags, err := g.store.Records(ctx, kindTag, repository)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(tags, func(t ipfs.Record) bool { return t.CID.Equals(root) }) {
			all = append(all, repository)
		}
	}
	return all, nil
}

// digests are those of all blobs under a root.
func (g *Registry) digests(ctx context.Context, root cid.Cid) (map[digest.Digest]bool, error) {
	l, err := ipfs.OpenLayout(ctx, g.store, root)
	if err != nil {
		return nil, err
	}
	held := map[digest.Digest]bool{}
	err = l.Blobs(ctx, func(d digest.Digest, _ cid.Cid) error {
		held[d] = true
		return nil
	})
	return held, err
}

// dropFrom takes a root, and what it holds, out of one repository. Others are the
// roots that stay. The caller has locked the repository.
func (g *Registry) dropFrom(ctx context.Context, repository string, root cid.Cid, held map[digest.Digest]bool, others []ipfs.Root) (err error) {
	tags, err := g.store.Records(ctx, kindTag, repository)
	if err != nil {
		return err
	}
	needed := map[digest.Digest]bool{}
	gone := []ipfs.Key{besideKey(repository, root)}
	for _, t := range tags {
		if t.CID.Equals(root) {
			gone = append(gone, t.Key)
			continue
		}
		v, err := value[tagValue](t)
		if err != nil {
			return err
		}
		needed[v.Digest] = needed[v.Digest] || !refersTo(t.Name, held)
	}
	for _, other := range others {
		if !slices.ContainsFunc(other.Names, func(n string) bool { r, _, _ := ref.CutTag(n); return r == repository }) {
			continue
		}
		of, err := g.digests(ctx, other.CID)
		if err != nil && !errors.Is(err, oci.ErrNotFound) && !errors.Is(err, oci.ErrCorrupt) {
			return err
		}
		for d := range of {
			needed[d] = true
		}
	}
	more, err := g.unneeded(ctx, repository, held, needed)
	if err != nil {
		return err
	}
	for _, t := range tags { // of referrers that go with their subject
		if v, err := value[tagValue](t); err == nil && oci.IsReferrerTag(t.Name) && held[v.Digest] && !needed[v.Digest] {
			gone = append(gone, t.Key)
		}
	}
	return g.store.Forget(ctx, append(gone, more...)...)
}

// refersTo tells whether a tag is one of what refers to any of these.
func refersTo(tag string, to map[digest.Digest]bool) bool {
	t, ok := oci.ParseReferrerTag(tag)
	if !ok {
		return false
	}
	for d := range to {
		if t.IsOf(d) {
			return true
		}
	}
	return false
}

// unneeded are the records of a repository's manifests and blobs among held that
// neither needed nor another manifest needs; those become needed.
func (g *Registry) unneeded(ctx context.Context, repository string, held, needed map[digest.Digest]bool) (gone []ipfs.Key, err error) {
	manifests, err := g.store.Records(ctx, kindManifest, repository)
	if err != nil {
		return nil, err
	}
	for _, m := range manifests {
		if d := digest.Digest(m.Name); held[d] && !needed[d] {
			continue
		}
		if err := g.needs(ctx, m.CID, needed); err != nil {
			return nil, err
		}
	}
	for _, m := range manifests {
		d := digest.Digest(m.Name)
		if !held[d] || needed[d] {
			continue
		}
		gone = append(gone, m.Key)
		if v, err := value[manifestValue](m); err == nil && v.Subject != "" {
			gone = append(gone, referrerKey(repository, v.Subject, d))
		}
	}
	for d := range held {
		if !needed[d] {
			gone = append(gone, blobKey(repository, d))
		}
	}
	return gone, nil
}

// needs adds the digests in a blobs/ directory to those that are needed.
func (g *Registry) needs(ctx context.Context, blobs cid.Cid, needed map[digest.Digest]bool) error {
	top, err := ipfs.OpenDir(ctx, g.store, blobs)
	if err != nil {
		return err
	}
	return top.ForEach(ctx, func(algorithm string, c cid.Cid) error {
		dir, err := ipfs.OpenDir(ctx, g.store, c)
		if err != nil {
			return err
		}
		return dir.ForEach(ctx, func(hex string, _ cid.Cid) error {
			needed[digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)] = true
			return nil
		})
	})
}
