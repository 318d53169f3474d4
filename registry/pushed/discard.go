package pushed

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Spare is a root that came of pushes alone and that no tag is.
type Spare struct {
	ipfs.Root
	Since time.Time // when the last tag became another, as far as that is known; else when it came
}

// tags are those that have a root, by the CID of that, and when each root became what
// its tag was before.
type tags struct {
	now       map[string][]string  // "repository:tag" by [cid.Cid.KeyString] of the root
	since     map[string]time.Time // when the last of these became it
	left      map[string]time.Time // when the last of them left it
	published map[string]bool      // publish had one be it, once or now
}

// tags reads all of them.
func (g *Registry) tags(ctx context.Context) (t tags, err error) {
	t = tags{now: map[string][]string{}, since: map[string]time.Time{}, left: map[string]time.Time{}, published: map[string]bool{}}
	repositories, err := g.store.Spaces(ctx, kindTag)
	if err != nil {
		return t, err
	}
	for _, repository := range repositories {
		records, err := g.store.Records(ctx, kindTag, repository)
		if err != nil {
			return t, err
		}
		for _, r := range records {
			v, err := value[tagValue](r)
			if err != nil {
				return t, err
			}
			if !v.Root {
				continue
			}
			t.add(repository, r, v)
		}
	}
	return t, nil
}

// add adds a tag that has a root.
func (t *tags) add(repository string, r ipfs.Record, v tagValue) {
	k, after := r.CID.KeyString(), v.Pushed
	t.now[k] = append(t.now[k], repository+":"+r.Name)
	if t.since[k].Before(after) {
		t.since[k] = after
	}
	t.published[k] = t.published[k] || v.By == ByPublish
	for _, p := range v.Past { // newest first
		k := p.Root.KeyString()
		if t.left[k].Before(after) {
			t.left[k] = after
		}
		after = p.Since
		t.published[k] = t.published[k] || p.By == ByPublish
	}
}

// Standing is what roots are by local names; all by [cid.Cid.KeyString].
type Standing struct {
	Current   map[string][]string  // the local names that are each now, "repository:tag"
	Since     map[string]time.Time // when the last of these came to mean it
	Published map[string]bool      // a local name is it, or was, because it was published
}

// Standing tells what each root is.
func (g *Registry) Standing(ctx context.Context) (Standing, error) {
	t, err := g.tags(ctx)
	return Standing{Current: t.now, Since: t.since, Published: t.published}, err
}

// Current lists the local names that are each root now, "repository:tag", by
// [cid.Cid.KeyString] of the root.
func (g *Registry) Current(ctx context.Context) (map[string][]string, error) {
	t, err := g.tags(ctx)
	return t.now, err
}

// Spares lists the roots that came of pushes alone and that no tag is now, though one may
// have them in its history.
func (g *Registry) Spares(ctx context.Context) (spares []Spare, err error) {
	roots, err := g.store.Roots(ctx)
	if err != nil && !errors.Is(err, oci.ErrCorrupt) {
		return nil, err
	}
	t, err := g.tags(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range roots {
		if k := r.CID.KeyString(); r.Pushed && len(t.now[k]) == 0 {
			since := t.left[k]
			if since.Before(r.Published) {
				since = r.Published
			}
			spares = append(spares, Spare{r, since})
		}
	}
	return spares, nil
}

// Discard takes a root away that is a [Spare] still, with all that nothing else of its
// repositories needs. Gone is false for one that somebody has published, or has named by
// a tag, meanwhile; the error matches [oci.ErrNotFound] for one that is gone already.
func (g *Registry) Discard(ctx context.Context, root cid.Cid) (gone bool, err error) {
	spares, err := g.Spares(ctx)
	if err != nil || !slices.ContainsFunc(spares, func(s Spare) bool { return s.CID.Equals(root) }) {
		return false, err
	}
	return g.take(ctx, root, 0, func(r ipfs.Root) (bool, error) {
		return g.isNobodys(ctx, r, func(t ipfs.Record, v tagValue) bool { return v.Root && t.CID.Equals(root) })
	})
}
