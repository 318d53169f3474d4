package packstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// kept is what gc knows of the roots and records of the store, which may become more
// while it works.
type kept struct {
	seen map[string]bool  // CIDs below which all is marked
	dirs map[string]stamp // directories of records as they were when they were read
	now  *view            // of the index, for blocks that came meanwhile; nil in the beginning
	rest *view            // of the part of now that gc does not replace
	came map[key]bool     // nodes that came meanwhile and whose links were followed
}

// keptRoot is something that keeps what is below a CID.
type keptRoot struct {
	cid cid.Cid
	key ipfs.Key // of a record; zero for a root
}

// damaged is the error for one of which a block is missing or wrong.
func (r keptRoot) damaged(err error) error {
	if r.key == (ipfs.Key{}) {
		return fmt.Errorf("root %s is damaged: %w; `image2ipfs verify --gateway URL` heals it from a gateway that has it, or remove it, collect garbage, publish it again", r.cid, err)
	}
	return fmt.Errorf("%s %q, pushed to %q, is damaged: %w; remove it and push it again", r.key.Kind, r.key.Name, r.key.Space, err)
}

// list gives the roots, and the records of directories that have changed since the last
// time, but for those whose time is over.
func (g *collector) list(ctx context.Context) (found []keptRoot, err error) {
	roots, err := g.s.dir.rootCIDs()
	if err != nil {
		return nil, err
	}
	for _, c := range roots {
		found = append(found, keptRoot{cid: c})
	}
	dirs, err := g.s.dir.recordDirs()
	if err != nil {
		return nil, err
	}
	if g.roots.dirs == nil {
		g.roots.dirs = map[string]stamp{}
	}
	for _, dir := range dirs {
		at := stampOf(dir)
		if at.is(g.roots.dirs[dir]) {
			continue
		}
		g.roots.dirs[dir] = at
		err := eachRecord(ctx, dir, func(_ string, r ipfs.Record) error {
			if !isOver(r) {
				found = append(found, keptRoot{r.CID, r.Key})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// sweepRecords removes records that are over, unless it is dry.
func (g *collector) sweepRecords(ctx context.Context) error {
	dirs, err := g.s.dir.recordDirs()
	if err != nil || g.dry {
		return err
	}
	for _, dir := range dirs {
		var over []ipfs.Key
		err := eachRecord(ctx, dir, func(_ string, r ipfs.Record) error {
			if isOver(r) {
				over = append(over, r.Key)
			}
			return nil
		})
		if err == nil && len(over) > 0 {
			err = g.s.forgetOver(ctx, over)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mark finds everything below the roots of the beginning.
func (g *collector) mark(ctx context.Context, roots []keptRoot) error {
	g.live, g.walked = make(bitset, g.all.n/64+1), make(bitset, g.all.n/64+1)
	g.stats.KeptBlocks = 0
	g.roots.seen, g.roots.came = map[string]bool{}, map[key]bool{}
	_, err := g.markRoots(ctx, roots)
	return err
}

// catchUp marks what is below roots and records that have come since, and tells how many
// those are.
func (g *collector) catchUp(ctx context.Context) (came int, err error) {
	roots, err := g.list(ctx)
	if err != nil {
		return 0, err
	}
	roots = slices.DeleteFunc(roots, func(r keptRoot) bool { return g.roots.seen[r.cid.KeyString()] })
	if len(roots) == 0 {
		return 0, nil
	}
	if g.roots.now, err = g.s.index.refresh(); err != nil {
		return 0, err
	}
	g.roots.rest = &view{}
	for _, s := range g.roots.now.segs {
		if !slices.Contains(g.segs, s.name) {
			g.roots.rest.segs = append(g.roots.rest.segs, s)
		}
	}
	return g.markRoots(ctx, roots)
}

func (g *collector) markRoots(ctx context.Context, roots []keptRoot) (marked int, err error) {
	for _, r := range roots {
		if g.roots.seen[r.cid.KeyString()] {
			continue
		}
		if err := g.markBelow(ctx, r.cid); err != nil {
			return marked, r.damaged(err)
		}
		g.roots.seen[r.cid.KeyString()] = true
		marked++
	}
	return marked, nil
}

func (g *collector) markBelow(ctx context.Context, root cid.Cid) error {
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		read, err := g.markBlock(c)
		if err != nil {
			return err
		}
		if read == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := read()
		if err != nil {
			return err
		}
		if err := ipfs.VerifyBlock(c, data); err != nil { // a wrong link would cost what is behind the right one
			return err
		}
		links, err := ipfs.Links(c, data)
		if err != nil {
			return err
		}
		for _, l := range links {
			todo = append(todo, l.Cid)
		}
	}
	return nil
}

// markBlock marks a block. read is nil when nothing is below it that was not followed.
func (g *collector) markBlock(c cid.Cid) (read func() ([]byte, error), err error) {
	i, e, err := g.all.find(keyOf(c))
	if err != nil {
		return nil, err
	}
	if i < 0 || g.packs[e.pack] == nil {
		return g.markLater(c)
	}
	if !g.live.has(i) {
		g.live.set(i)
		g.stats.KeptBlocks++
		g.progress(GCProgress{Stage: GCMarking, Done: int64(g.stats.KeptBlocks), Total: g.all.n})
		if g.weighed {
			g.weighNeeded(e)
			g.late = append(g.late, e)
		}
	}
	// The same bytes may be a raw leaf here and a node there.
	if c.Type() == cid.Raw || g.walked.has(i) {
		return nil, nil
	}
	g.walked.set(i)
	return func() ([]byte, error) {
		return g.s.packs.section(c, e.location, func(n int) []byte { return make([]byte, n) })
	}, nil
}

// markLater is markBlock of one that is in none of the packs of the beginning, or no
// longer: it came since, or its pack was rewritten.
func (g *collector) markLater(c cid.Cid) (read func() ([]byte, error), err error) {
	if g.roots.now == nil {
		return nil, fmt.Errorf("%w: block %s", ipfs.ErrNotFound, c)
	}
	k := keyOf(c)
	if c.Type() == cid.Raw {
		return nil, missing(c, g.findLater(k, func(loc location) error {
			_, err := g.s.packs.dataSize(c, loc)
			return err
		}))
	}
	if g.roots.came[k] {
		return nil, nil
	}
	g.roots.came[k] = true
	return func() (data []byte, err error) {
		err = g.findLater(k, func(loc location) (err error) {
			data, err = g.s.packs.section(c, loc, func(n int) []byte { return make([]byte, n) })
			return err
		})
		return data, missing(c, err)
	}, nil
}

// findLater looks a block up in the index of now: first in what stays of it, so that the
// new index need not have it. The pack stays as well.
func (g *collector) findLater(k key, try func(location) error) error {
	found := func(loc location) error {
		err := try(loc)
		if p := g.packs[loc.pack]; p != nil && err == nil {
			p.stays = true
		}
		return err
	}
	if g.roots.rest.find(k, found) == nil {
		return nil
	}
	return g.roots.now.find(k, func(loc location) error {
		err := found(loc)
		if err == nil {
			g.late = append(g.late, entry{k, loc})
		}
		return err
	})
}

// missing names a block that could not be read.
func missing(c cid.Cid, err error) error {
	if err == nil || errors.Is(err, ipfs.ErrCorrupt) || errors.Is(err, ipfs.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: block %s: %w", ipfs.ErrNotFound, c, err)
}
