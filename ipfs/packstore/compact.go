package packstore

import (
	"bytes"
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

// maxDead is the part of a pack, in percent, that may be useless before the
// pack is rewritten.
const maxDead = 10

// loadIndex brings the index, of packs that are there, into one segment in memory.
func (g *collector) loadIndex(ctx context.Context) error {
	var err error
	if g.segs, err = g.s.dir.segments(); err != nil {
		return err
	}
	v, err := g.s.index.refresh()
	if err != nil {
		return err
	}
	err = v.broken
	if err == nil {
		var mem bytes.Buffer
		_, err = merge(&mem, v.segs, func(e entry) bool { return g.packs[e.pack] != nil })
		if err == nil {
			g.all, err = memorySegment(mem.Bytes(), "in memory")
		}
	}
	if errors.Is(err, ipfs.ErrCorrupt) {
		err = g.rebuildIndex(ctx)
	}
	return err
}

// rebuildIndex does what loadIndex does from the packs alone.
func (g *collector) rebuildIndex(ctx context.Context) error {
	var entries []entry
	for id := range g.packs {
		_, err := scanPack(g.s.dir, id, func(c cid.Cid, _ []byte, loc location) error {
			entries = append(entries, entry{keyOf(c), loc})
			return ctx.Err()
		})
		if err != nil && !errors.Is(err, ipfs.ErrCorrupt) { // of a damaged pack, what precedes the damage
			return err
		}
	}
	var mem bytes.Buffer
	if _, err := writeEntries(&mem, entries); err != nil {
		return err
	}
	var err error
	g.all, err = memorySegment(mem.Bytes(), "in memory")
	return err
}

// compact removes and rewrites packs, then the index. At each moment every
// needed block is in a pack to which a segment points: a rewritten pack is
// indexed before the old one goes. Entries that point to packs that are gone
// may be there for a while; readers and publications see through them.
func (g *collector) compact(ctx context.Context) error {
	// Those of now: rewriting adds some. What is removed makes room for the rest.
	ids := slices.SortedFunc(maps.Keys(g.packs), func(a, b packID) int { return cmp.Compare(g.packs[a].live, g.packs[b].live) })
	for done, id := range ids {
		p := g.packs[id]
		if err := ctx.Err(); err != nil {
			return err
		}
		g.progress(GCProgress{Stage: GCCompacting, Done: int64(done), Total: int64(len(ids))})
		payload := p.size - headerSize
		switch {
		case p.blocks == 0:
		case (payload-p.live)*100 > payload*maxDead:
			if ok, err := g.rewrite(ctx, id, p); isDiskFull(err) {
				g.stats.NoRoom = true
				continue
			} else if err != nil {
				return err
			} else if !ok {
				continue
			}
		default:
			continue
		}
		if err := g.remove(id); err != nil {
			return err
		}
	}
	if err := syncDir(g.s.dir.packs()); err != nil {
		return err
	}
	g.progress(GCProgress{Stage: GCCompacting, Done: int64(len(ids)), Total: int64(len(ids))})
	err := g.writeIndex()
	if isDiskFull(err) { // what is there points to all that is needed
		g.stats.NoRoom, err = true, nil
	}
	return err
}

func (g *collector) remove(id packID) error {
	g.s.packs.forget(id)
	if gone, err := removeFile(g.s.dir.pack(id)); err != nil || !gone {
		return err
	}
	delete(g.packs, id)
	return nil
}

// rewrite copies what is needed of a pack into a new one and puts that into
// the index. ok is false when the pack is damaged and has to stay.
func (g *collector) rewrite(ctx context.Context, id packID, p *packUse) (ok bool, err error) {
	w, err := newPackWriter(g.s.dir)
	if err != nil {
		return false, err
	}
	var entries []entry
	root, err := scanPack(g.s.dir, id, func(c cid.Cid, data []byte, loc location) error {
		k := keyOf(c)
		i, e, err := g.all.find(k)
		if err != nil || i < 0 || !g.live.has(i) || e.location != loc {
			return err
		}
		moved, err := w.append(c, data)
		entries = append(entries, entry{k, moved})
		return errors.Join(err, ctx.Err())
	})
	if errors.Is(err, ipfs.ErrCorrupt) || err == nil && len(entries) != p.blocks {
		return false, w.discard()
	}
	if err == nil {
		err = w.finish(root)
	}
	if err == nil {
		err = syncDir(g.s.dir.packs())
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("rewriting pack %s: %w", id, err), w.discard())
	}
	name, err := g.s.dir.addSegment(entries)
	if err != nil {
		return false, errors.Join(err, w.discard())
	}
	g.fresh = append(g.fresh, name)
	if c, ok := g.known[id]; ok { // its blocks are what they were
		if now, err := g.s.dir.packState(id); err == nil && c.state == now {
			if state, err := g.s.dir.packState(w.id); err == nil {
				g.checked[w.id] = check{state, c.at}
			}
		}
	}
	g.packs[w.id] = &packUse{size: w.size, live: p.live, blocks: p.blocks}
	return true, nil
}

// writeIndex replaces the index by one segment of what is needed.
func (g *collector) writeIndex() error {
	var segs []*segment
	for _, name := range g.fresh {
		s, err := openSegment(g.s.dir.segment(name), name)
		if err != nil {
			return err
		}
		segs = append(segs, s)
	}
	_, err := g.s.dir.writeSegment(func(f *os.File) (uint64, error) {
		return merge(f, append(segs, g.all), func(e entry) bool {
			i, _, err := g.all.find(e.key)
			return err == nil && i >= 0 && g.live.has(i) && g.packs[e.pack] != nil
		})
	})
	if err != nil {
		return err
	}
	if err := g.s.dir.removeSegments(slices.Concat(g.segs, g.fresh)); err != nil {
		return err
	}
	_, err = g.s.index.refresh()
	return err
}
