package pushed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// past is what a tag was.
type past struct {
	Root   cid.Cid       `json:"root"`
	Digest digest.Digest `json:"digest"`
	By     string        `json:"by"`
	Since  time.Time     `json:"since"`
}

// Bounds of a tag's history.
const (
	// mostOfOne is how many roots are kept of an image that a tag is or was: the first,
	// whose CID was told when it was pushed, and the last. Each signature makes one.
	mostOfOne = 16
	// mostPast is how many roots are remembered that nobody takes away, since they
	// were published.
	mostPast = 1000
)

// pastOf is the history of a tag that moves away from what is recorded of it.
func pastOf(old ipfs.Record, v tagValue, to cid.Cid) []past {
	if old.CID.Equals(to) {
		return v.Past
	}
	all := []past{{old.CID, v.Digest, v.By, v.Pushed}}
	for _, p := range v.Past {
		if !p.Root.Equals(old.CID) && !p.Root.Equals(to) {
			all = append(all, p)
		}
	}
	return all
}

// trim parts a history into what is kept of it, and what falls out: all but the last
// images, however many roots an image had, and of an image that stays roots between the
// first and the last ones. What others mean stays, too.
func trim(all []past, now digest.Digest, images int, meant map[string]string) (kept []past, fallen []cid.Cid) {
	last, before, same := now, 0, 0
	for i, p := range all {
		if p.Digest != last {
			last, same, before = p.Digest, 0, before+1
		}
		first := i+1 == len(all) || all[i+1].Digest != p.Digest
		if same++; (before > images || same >= mostOfOne && !first) && meant[p.Root.KeyString()] == "" {
			fallen = append(fallen, p.Root)
		} else {
			kept = append(kept, p)
		}
	}
	return kept, fallen
}

// move records a tag that is a root from now on, and its history. Was is as in [Root].
func (w *weaver) move(to cid.Cid, tag string, v tagValue) (was []cid.Cid, err error) {
	old, before, err := read[tagValue](w.ctx, w.g.store, tagKey(w.repository, tag))
	if err != nil && !errors.Is(err, oci.ErrNotFound) {
		return nil, err
	}
	v.Past = nil
	if err == nil && before.Root {
		v.Past = w.withoutDeleted(pastOf(old, before, to))
	}
	for _, p := range v.Past {
		if p.Digest != v.Digest && !p.Root.Equals(old.CID) {
			break
		}
		was = append(was, p.Root)
	}
	if w.from != nil { // nothing is pushed
		v.Past = v.Past[:min(len(v.Past), mostPast)]
	} else {
		all := v.Past
		var fallen []cid.Cid
		if v.Past, fallen = trim(all, v.Digest, w.g.history, nil); len(fallen) > 0 {
			// What cannot be told now is told by Retire, and no reason to refuse a push.
			meant, _ := w.g.meant()
			v.Past, fallen = trim(all, v.Digest, w.g.history, meant)
		}
		w.fallen = append(w.fallen, fallen...)
	}
	r, err := record(tagKey(w.repository, tag), to, noEnd, v)
	w.records = append(w.records, r)
	return was, err
}

// withoutDeleted leaves out what was the image that is being taken out.
func (w *weaver) withoutDeleted(all []past) []past {
	return slices.DeleteFunc(slices.Clone(all), func(p past) bool { return w.deleted != "" && p.Digest == w.deleted })
}

// Local is what a local name is, or was.
type Local struct {
	Name    string // "repository:tag"
	Root    cid.Cid
	Digest  digest.Digest
	By      string // [ByPush], [ByPublish] or [ByTag]
	Since   time.Time
	Current bool
}

// History lists what the tags of a repository are, each followed by what it was, the
// latest first, as far as that is published still; those of one tag, or with "" of all,
// in the order of their names. The error matches [oci.ErrNameUnknown] or
// [oci.ErrManifestUnknown] when there is none.
func (g *Registry) History(ctx context.Context, repository, tag string) ([]Local, error) {
	tags, err := g.store.Records(ctx, kindTag, repository)
	if err != nil {
		return nil, err
	}
	roots, err := g.store.Roots(ctx)
	if err != nil && !errors.Is(err, oci.ErrCorrupt) {
		return nil, err
	}
	kept := map[string]bool{}
	for _, r := range roots {
		kept[string(r.CID.Hash())] = true
	}
	var all []Local
	for _, t := range tags {
		if tag != "" && t.Name != tag {
			continue
		}
		v, err := value[tagValue](t)
		if err != nil {
			return nil, err
		}
		if !v.Root {
			continue
		}
		name := repository + ":" + t.Name
		all = append(all, Local{Name: name, Root: t.CID, Digest: v.Digest, By: v.By, Since: v.Pushed, Current: true})
		for _, p := range v.Past {
			if kept[string(p.Root.Hash())] {
				all = append(all, Local{Name: name, Root: p.Root, Digest: p.Digest, By: p.By, Since: p.Since})
			}
		}
	}
	switch {
	case len(all) > 0:
		return all, nil
	case len(tags) == 0:
		return nil, fmt.Errorf("%w: no local name begins with %q", oci.ErrNameUnknown, repository)
	}
	return nil, fmt.Errorf("%w: no tag %q in %q", oci.ErrManifestUnknown, tag, repository)
}

// Retire takes away roots that came of pushes alone and that no tag is, or has in its
// history, any more; with them goes what nothing else of their repositories needs, blobs
// a day later. What somebody has published stays. Gone are those that were taken.
func (g *Registry) Retire(ctx context.Context, roots ...cid.Cid) (gone []cid.Cid, err error) {
	for _, c := range roots {
		went, err := g.take(ctx, c, Alone, func(r ipfs.Root) (bool, error) { return g.isFree(ctx, r) })
		if err != nil && !errors.Is(err, oci.ErrNotFound) {
			return gone, fmt.Errorf("taking %s away, which fell out of the history of its tag: %w", c, err)
		}
		if went {
			gone = append(gone, c)
		}
	}
	return gone, nil
}

// isFree tells whether a root is there for pushes alone and no tag is it, or has it in
// its history, and no name that moves means it.
func (g *Registry) isFree(ctx context.Context, root ipfs.Root) (bool, error) {
	return g.isNobodys(ctx, root, func(t ipfs.Record, v tagValue) bool {
		return t.CID.Equals(root.CID) || slices.ContainsFunc(v.Past, func(p past) bool { return p.Root.Equals(root.CID) })
	})
}

// isNobodys tells whether a root is there for pushes alone, and neither for one of the tags
// that it had nor for a name that moves.
func (g *Registry) isNobodys(ctx context.Context, root ipfs.Root, has func(t ipfs.Record, v tagValue) bool) (bool, error) {
	if !root.Pushed {
		return false, nil
	}
	for _, name := range root.Names {
		repository, tag, _ := ref.CutTag(name)
		t, v, err := read[tagValue](ctx, g.store, tagKey(repository, tag))
		if errors.Is(err, oci.ErrNotFound) {
			continue
		}
		if err != nil || has(t, v) {
			return false, err
		}
	}
	meant, err := g.meant()
	if err != nil {
		return false, fmt.Errorf("finding what names that move mean: %w", err)
	}
	return meant[root.CID.KeyString()] == "", nil
}
