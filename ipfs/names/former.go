package names

import (
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ref"
)

// What is remembered of the roots that a name meant before, for pulls that go on while it
// moves.
const (
	// formerFor is for how long: a pull may begin by an answer that is [MaxTTL] old.
	formerFor = time.Hour
	// leastFormer are remembered however long ago they were.
	leastFormer = 2
	// mostFormer are remembered at most. Each is asked for what the others do not have.
	mostFormer = 16
)

// former is a root that a name meant.
type former struct {
	Root  string    `json:"root"`           // CID
	Since time.Time `json:"since,omitzero"` // when it was first seen; zero for not known
	Until time.Time `json:"until,omitzero"` // when something else was; likewise
}

// addFormer adds what a name has just stopped to mean to what it meant before, the latest
// first, and leaves out what is too old. When there are too many, those go that were meant
// for the shortest time: few pulls began with them, and of an image that is signed several
// times at once most are of this kind.
func addFormer(all []former, last former) []former {
	all = slices.DeleteFunc(slices.Clone(all), func(f former) bool { return f.Root == last.Root })
	all = slices.Insert(all, 0, last)
	for i := len(all) - 1; i >= leastFormer; i-- {
		if last.Until.Sub(all[i].Until) > formerFor {
			all = slices.Delete(all, i, i+1)
		}
	}
	for len(all) > mostFormer {
		shortest := leastFormer
		for i := shortest; i < len(all); i++ {
			if all[i].meant() < all[shortest].meant() {
				shortest = i
			}
		}
		all = slices.Delete(all, shortest, shortest+1)
	}
	return all
}

// meant is for how long the name meant it; very long when that is not known.
func (f former) meant() time.Duration { return f.Until.Sub(f.Since) }

// former are the roots that the name meant before, the latest first.
func (st *state) former() []former {
	if len(st.Former) > 0 {
		return st.Former
	}
	var all []former
	for _, root := range st.Before {
		all = append(all, former{Root: root})
	}
	return all
}

// before are the roots that the name meant before, the latest first.
func (l loaded) before() []cid.Cid { return rootsOf(l.former()) }

func rootsOf(all []former) (roots []cid.Cid) {
	for _, f := range all {
		if c, err := ref.ParseRoot(f.Root); err == nil {
			roots = append(roots, c)
		}
	}
	return roots
}

// meant is what a name led to, of this process alone.
type meant struct {
	root   cid.Cid
	since  time.Time
	former []former
}

// remember adds what the name meant before. It keeps that for names whose own record does
// not tell, such as domains.
func (r *Resolver) remember(moving string, root cid.Cid, before []cid.Cid) []cid.Cid {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.meant[moving]
	if !ok && len(r.meant) > maxAsked {
		clear(r.meant)
	}
	switch now := time.Now(); {
	case !ok:
		last = meant{root: root, since: now}
	case !last.root.Equals(root):
		last = meant{root, now, addFormer(last.former, former{last.root.String(), last.since, now})}
	}
	r.meant[moving] = last
	var each []cid.Cid
	for _, c := range append(slices.Clone(before), rootsOf(last.former)...) {
		if !c.Equals(root) && !slices.ContainsFunc(each, c.Equals) {
			each = append(each, c)
		}
	}
	return each[:min(len(each), mostFormer)]
}
