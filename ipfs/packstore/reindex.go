package packstore

import (
	"bytes"
	"context"
	"errors"
	"os"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// loadIndex brings the index, of packs that are there, into one segment in memory.
func (g *collector) loadIndex(ctx context.Context, v *view) error {
	err := v.broken
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

// writeIndex replaces the index by one segment of what is needed, and perhaps another of
// what is needed since that was written.
func (g *collector) writeIndex(ctx context.Context) error {
	if _, err := g.catchUp(ctx); err != nil {
		return err
	}
	made, err := g.makeIndex()
	if err != nil {
		return err
	}
	g.s.at("gc: index made")
	err = g.settle(ctx, func() error {
		late, err := g.makeLate()
		if err == nil {
			err = made.place()
		}
		if err == nil {
			err = late.place()
		}
		if err != nil {
			return errors.Join(err, late.discard())
		}
		g.freed -= made.size + late.size
		for _, name := range g.segs {
			g.freed += fileSize(g.s.dir.segment(name))
		}
		if err := g.s.dir.removeSegments(g.segs); err != nil {
			return err
		}
		_, err = g.s.index.refresh()
		return err
	})
	return errors.Join(err, made.discard())
}

// makeIndex makes the segment of all that is needed of the packs of the beginning and of
// rewritten ones.
func (g *collector) makeIndex() (pendingSegment, error) {
	var segs []*segment
	for _, name := range g.fresh {
		s, err := openSegment(g.s.dir.segment(name), name)
		if err != nil {
			return pendingSegment{}, err
		}
		segs = append(segs, s)
	}
	return g.s.dir.makeSegment(func(f *os.File) (uint64, error) {
		return merge(f, append(segs, g.all), func(e entry) bool {
			i, _, err := g.all.find(e.key)
			return err == nil && i >= 0 && g.live.has(i) && g.packs[e.pack] != nil
		})
	})
}

// makeLate makes the segment of what was marked late, whether the other has it or not.
func (g *collector) makeLate() (pendingSegment, error) {
	var entries []entry
	for _, e := range g.late {
		if fileSize(g.s.dir.pack(e.pack)) > 0 {
			entries = append(entries, e)
		}
	}
	if len(entries) == 0 {
		return pendingSegment{}, nil
	}
	return g.s.dir.makeSegment(func(f *os.File) (uint64, error) { return writeEntries(f, entries) })
}
