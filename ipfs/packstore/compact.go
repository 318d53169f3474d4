package packstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	// maxDead is the part of a pack, in percent, that may be useless before the
	// pack is rewritten.
	maxDead = 10
	// settleBytes and settlePacks are how much of the packs is removed at once, while
	// nobody can publish anything.
	settleBytes, settlePacks = 256 << 20, 64
)

// compact removes and rewrites packs, then the index. At each moment every
// needed block is in a pack to which a segment points: a rewritten pack is
// indexed before the old one goes. Entries that point to packs that are gone
// may be there for a while; readers and publications see through them.
func (g *collector) compact(ctx context.Context) error {
	// Those of now: rewriting adds some. What is removed makes room for the rest.
	ids := slices.SortedFunc(maps.Keys(g.packs), func(a, b packID) int { return cmp.Compare(g.packs[a].live, g.packs[b].live) })
	useless := 0
	for useless < len(ids) && !g.packs[ids[useless]].needed() {
		useless++
	}
	if err := g.removeAll(ctx, ids[:useless], len(ids)); err != nil {
		return err
	}
	if err := g.rewriteAll(ctx, ids[useless:], len(ids)); err != nil {
		return err
	}
	g.compacting(len(ids), len(ids))
	err := g.writeIndex(ctx)
	if isDiskFull(err) { // what is there points to all that is needed
		g.stats.NoRoom, err = true, nil
	}
	return err
}

func (g *collector) compacting(done, total int) {
	g.progress(GCProgress{Stage: GCCompacting, Done: int64(done), Total: int64(total)})
}

// removeAll removes packs of which nothing is needed.
func (g *collector) removeAll(ctx context.Context, ids []packID, total int) error {
	for from := 0; from < len(ids); {
		g.compacting(from, total)
		to, size := from, int64(0)
		for to < len(ids) && to-from < settlePacks && (to == from || size < settleBytes) {
			size += g.packs[ids[to]].size
			to++
		}
		err := g.settle(ctx, func() error {
			for _, id := range ids[from:to] {
				if err := g.removeUseless(id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

// removeUseless removes a pack unless something in it is needed by now, or claimed.
func (g *collector) removeUseless(id packID) error {
	if g.packs[id].needed() {
		return nil
	}
	release, ok, err := takeFile(g.s.dir.pack(id))
	switch {
	case errors.Is(err, os.ErrNotExist):
		delete(g.packs, id)
		return nil
	case err != nil:
		return err
	case !ok:
		g.claimed[id] = true
		return nil
	}
	return errors.Join(g.remove(id), release())
}

// remove removes a pack; on Windows it stays while somebody has it open.
func (g *collector) remove(id packID) error {
	g.s.packs.forget(id)
	gone, err := removeFile(g.s.dir.pack(id))
	if err != nil || !gone {
		return err
	}
	g.s.packs.forget(id) // which a reader may have opened a moment ago
	g.freed += g.packs[id].size
	delete(g.packs, id)
	return nil
}

// rewriteAll rewrites the packs of which too much is useless. Where the disk is full what
// was copied makes room.
func (g *collector) rewriteAll(ctx context.Context, ids []packID, total int) error {
	var copies []*packCopy
	var size int64
	swap := func() error {
		done := copies
		copies, size = nil, 0
		return g.swap(ctx, done)
	}
	for i, id := range ids {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, discardAll(copies))
		}
		g.compacting(total-len(ids)+i, total)
		made, err := g.copyPack(ctx, id)
		if isDiskFull(err) && len(copies) > 0 {
			if err := swap(); err != nil {
				return err
			}
			made, err = g.copyPack(ctx, id)
		}
		if isDiskFull(err) {
			g.stats.NoRoom = true
			continue
		}
		if err != nil {
			return errors.Join(err, discardAll(copies))
		}
		if made == nil {
			continue
		}
		copies = append(copies, made)
		if size += made.w.size; size >= settleBytes || len(copies) == settlePacks {
			if err := swap(); err != nil {
				return err
			}
		}
	}
	return swap()
}

// packCopy is what is needed of a pack, in a new one that is still in tmp/.
type packCopy struct {
	of     packID
	state  packState // of the old one before it was copied
	blocks int       // in it
	w      *packWriter
	seg    pendingSegment // of the new one
}

func (c *packCopy) discard() error { return errors.Join(c.w.discard(), c.seg.discard()) }

func discardAll(copies []*packCopy) error {
	var errs []error
	for _, c := range copies {
		errs = append(errs, c.discard())
	}
	return errors.Join(errs...)
}

// copyPack copies what is needed of a pack. It gives none when the pack has to stay:
// little of it is useless, somebody has claimed it, or it is damaged.
func (g *collector) copyPack(ctx context.Context, id packID) (*packCopy, error) {
	p := g.packs[id]
	if !p.isWasteful() {
		return nil, nil
	}
	release, free, err := takeFile(g.s.dir.pack(id))
	if err != nil {
		return nil, err
	}
	if !free {
		g.claimed[id] = true
		return nil, nil
	}
	if err := release(); err != nil {
		return nil, err
	}
	state, quiet, err := g.s.dir.quietState(ctx, id)
	if err != nil || !quiet {
		return nil, err
	}
	w, err := newPackWriter(g.s.dir)
	if err != nil {
		return nil, err
	}
	c := &packCopy{of: id, state: state, blocks: p.blocks, w: w, seg: pendingSegment{dir: g.s.dir}}
	whole, err := g.fill(ctx, c)
	if err != nil || !whole {
		return nil, errors.Join(err, c.discard())
	}
	g.s.at("gc: copied")
	return c, nil
}

// fill writes the copy of a pack. whole is false when the pack is damaged.
func (g *collector) fill(ctx context.Context, to *packCopy) (whole bool, err error) {
	var entries []entry
	root, err := scanPack(g.s.dir, to.of, func(c cid.Cid, data []byte, loc location) error {
		k := keyOf(c)
		i, e, err := g.all.find(k)
		if err != nil || i < 0 || !g.live.has(i) || e.location != loc {
			return err
		}
		moved, err := to.w.append(c, data)
		entries = append(entries, entry{k, moved})
		return errors.Join(err, ctx.Err())
	})
	if errors.Is(err, ipfs.ErrCorrupt) || err == nil && len(entries) != to.blocks {
		return false, nil
	}
	if err == nil {
		err = to.w.seal(root)
	}
	if err == nil {
		to.seg, err = g.s.dir.makeSegment(func(f *os.File) (uint64, error) { return writeEntries(f, entries) })
	}
	if err != nil {
		return false, fmt.Errorf("rewriting pack %s: %w", to.of, err)
	}
	return true, nil
}

// swap puts copies in the place of packs that are as they were when they were copied, of
// which nothing more is needed, and that nobody has claimed; other copies go.
func (g *collector) swap(ctx context.Context, copies []*packCopy) error {
	if len(copies) == 0 {
		return nil
	}
	err := g.settle(ctx, func() (err error) {
		var good []*packCopy
		var taken []func() error
		defer func() {
			for _, release := range taken {
				err = errors.Join(err, release())
			}
		}()
		for _, c := range copies {
			release, ok, err := g.takeCopied(c)
			if err != nil {
				return err
			}
			if ok {
				good, taken = append(good, c), append(taken, release)
			}
		}
		if err := g.placeAll(good); err != nil {
			return err
		}
		for _, c := range good {
			if err := g.remove(c.of); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, discardAll(copies)) // of those that were placed nothing is left to discard
}

// takeCopied takes the pack of a copy, if the copy may take its place.
func (g *collector) takeCopied(c *packCopy) (release func() error, ok bool, err error) {
	if p := g.packs[c.of]; p.stays || p.blocks != c.blocks {
		return nil, false, nil
	}
	release, ok, err = takeFile(g.s.dir.pack(c.of))
	if err != nil {
		return nil, false, err
	}
	if !ok {
		g.claimed[c.of] = true
		return nil, false, nil
	}
	now, err := g.s.dir.packState(c.of)
	if err != nil || now != c.state {
		return nil, false, errors.Join(err, release())
	}
	return release, true, nil
}

// placeAll makes copies part of the store, beside what they are copies of.
func (g *collector) placeAll(copies []*packCopy) error {
	for _, c := range copies {
		if err := c.w.place(); err != nil {
			return err
		}
		old := g.packs[c.of]
		g.packs[c.w.id] = &packUse{size: c.w.size, live: old.live, blocks: old.blocks}
		g.freed -= c.w.size
		if known, ok := g.known[c.of]; ok && known.state == c.state { // its blocks are what they were
			if state, err := g.s.dir.packState(c.w.id); err == nil {
				g.checked[c.w.id] = check{state, known.at}
			}
		}
	}
	if err := syncDir(g.s.dir.packs()); err != nil {
		return err
	}
	for _, c := range copies {
		if err := os.Rename(c.seg.temp(), g.s.dir.segment(c.seg.name)); err != nil {
			return err
		}
		g.fresh, g.segs = append(g.fresh, c.seg.name), append(g.segs, c.seg.name)
		g.freed -= c.seg.size
	}
	return syncDir(g.s.dir.index())
}
