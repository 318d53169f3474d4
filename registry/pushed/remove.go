package pushed

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Remove ends the keeping of a root, and takes what it holds out of the repositories of
// its names: tags that are it, and manifests and blobs that nothing else of the repository
// needs, but for blobs that somebody was told to be here for a manifest that is yet to
// come. Of a root that cannot be read the tags go. The error matches [oci.ErrNotFound]
// when the store does not keep it.
func (g *Registry) Remove(ctx context.Context, root cid.Cid) error {
	_, err := g.take(ctx, root, 0, func(ipfs.Root) (bool, error) { return true, nil })
	return err
}

// take removes a root that may go, as [Registry.Remove] does. Nobody can push, or set
// names in the repositories of the root, from when may is asked first until it is gone;
// it is asked again at a time when nobody commits anything. Blobs stay for grace.
func (g *Registry) take(ctx context.Context, root cid.Cid, grace time.Duration, may func(ipfs.Root) (bool, error)) (gone bool, err error) {
	held, err := g.digests(ctx, root)
	if err != nil && !errors.Is(err, oci.ErrNotFound) && !errors.Is(err, oci.ErrCorrupt) {
		return false, err
	}
	roots, repositories, err := g.keptIn(ctx, root)
	for err == nil {
		var again []string
		err = g.locked(ctx, repositories, func() (err error) {
			if roots, again, err = g.keptIn(ctx, root); err != nil || !slices.Equal(again, repositories) {
				return err
			}
			gone, err = g.takeFrom(ctx, repositories, root, roots, held, grace, may)
			return err
		})
		if err == nil && slices.Equal(again, repositories) {
			break
		}
		repositories = again // it was given a name elsewhere meanwhile
	}
	return gone && err == nil, err
}

// keptIn lists all roots, and the repositories of one.
func (g *Registry) keptIn(ctx context.Context, root cid.Cid) (roots []ipfs.Root, repositories []string, err error) {
	roots, err = g.store.Roots(ctx)
	if err != nil && !errors.Is(err, oci.ErrCorrupt) {
		return nil, nil, err
	}
	repositories, err = g.repositoriesOf(ctx, root, roots)
	return roots, repositories, err
}

// takeFrom is take by who has locked the repositories.
func (g *Registry) takeFrom(ctx context.Context, repositories []string, root cid.Cid, roots []ipfs.Root, held map[digest.Digest]bool, grace time.Duration, may func(ipfs.Root) (bool, error)) (gone bool, err error) {
	is := ipfs.Root{CID: root}
	others := slices.DeleteFunc(roots, func(r ipfs.Root) bool {
		if r.CID.Equals(root) {
			is = r
		}
		return r.CID.Equals(root)
	})
	if ok, err := may(is); err != nil || !ok {
		return false, err
	}
	for _, repository := range repositories {
		if err := g.dropFrom(ctx, repository, root, held, others, grace); err != nil {
			return false, err
		}
	}
	return g.store.RemoveIf(ctx, root, may)
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
func (g *Registry) dropFrom(ctx context.Context, repository string, root cid.Cid, held map[digest.Digest]bool, others []ipfs.Root, grace time.Duration) (err error) {
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
	more, blobs, err := g.unneeded(ctx, repository, held, needed)
	if err != nil {
		return err
	}
	for _, t := range tags { // of referrers that go with their subject
		if v, err := value[tagValue](t); err == nil && oci.IsReferrerTag(t.Name) && held[v.Digest] && !needed[v.Digest] {
			gone = append(gone, t.Key)
		}
	}
	if err := g.store.Forget(ctx, append(gone, more...)...); err != nil {
		return err
	}
	return g.release(ctx, grace, blobs...)
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
func (g *Registry) unneeded(ctx context.Context, repository string, held, needed map[digest.Digest]bool) (gone, blobs []ipfs.Key, err error) {
	manifests, err := g.store.Records(ctx, kindManifest, repository)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range manifests {
		if d := digest.Digest(m.Name); held[d] && !needed[d] {
			continue
		}
		if err := g.needs(ctx, m.CID, needed); err != nil {
			return nil, nil, err
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
			blobs = append(blobs, blobKey(repository, d))
		}
	}
	return gone, blobs, nil
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
