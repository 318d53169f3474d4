package packstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// GCOptions say how garbage is collected.
type GCOptions struct {
	DryRun   bool             // only tell what would go
	Cache    bool             // empty the cache as well
	Progress func(GCProgress) // may be nil; called often
}

// GCStage is a step of GC.
type GCStage string

// The stages of GC in their order.
const (
	GCWaiting    GCStage = "waiting for publications to end"
	GCMarking    GCStage = "marking" // counts blocks
	GCCompacting GCStage = "compacting"
)

// GCProgress tells how far GC is.
type GCProgress struct {
	Stage       GCStage
	Done, Total int64 // blocks when marking, packs when compacting
}

// GCStats tells what GC did, or with DryRun would do.
type GCStats struct {
	KeptBlocks     int   `json:"keptBlocks"`
	KeptBytes      int64 `json:"keptBytes"`
	RemovedBlocks  int   `json:"removedBlocks"`
	RemovedBytes   int64 `json:"removedBytes"`   // of blocks, as they lie in packs
	AbandonedBytes int64 `json:"abandonedBytes"` // of files that publications cut off have left
	FreedBytes     int64 `json:"freedBytes"`     // on disk, with index and abandoned temporary files; 0 with DryRun
	NoRoom         bool  `json:"noRoom"`         // to rewrite all that should be: the disk is full, and a later GC frees more
	CacheBytes     int64 `json:"cacheBytes"`     // of the cache on disk, before it was emptied if it was
}

// GC removes all blocks that no root needs, and what crashed publications have
// left. It waits until no publication is under way, and publications wait for
// it; readers go on. Interrupted anywhere, it leaves a complete store. It also
// builds the index anew, from the packs if it is damaged or lacks a block. When a block of a
// kept root is missing GC refuses to go on with an error that matches
// [ipfs.ErrNotFound] or [ipfs.ErrCorrupt], since what lies below is unknown.
func (s *Store) GC(ctx context.Context, o GCOptions) (GCStats, error) {
	if o.Progress == nil {
		o.Progress = func(GCProgress) {}
	}
	unlock, err := lockExclusive(ctx, s.dir.gcLock(), func() { o.Progress(GCProgress{Stage: GCWaiting}) })
	if err != nil {
		return GCStats{}, err
	}
	g := &collector{s: s, progress: o.Progress, dry: o.DryRun, packs: map[packID]*packUse{}, known: s.dir.readChecks(), checked: checks{}}
	stats, err := g.run(ctx)
	if err == nil && o.Cache && !o.DryRun {
		stats.CacheBytes, err = s.ClearCache(ctx)
		stats.FreedBytes += stats.CacheBytes
	}
	if err != nil {
		err = fmt.Errorf("collecting garbage in %s: %w", s, err)
	}
	return stats, errors.Join(err, unlock())
}

// collector is one garbage collection; it holds 48 bytes for each block.
type collector struct {
	s        *Store
	progress func(GCProgress)
	dry      bool
	packs    map[packID]*packUse
	all      *segment // every block once, in memory
	live     bitset   // entries of all that are needed
	walked   bitset   // entries of all whose links were followed
	known    checks   // of packs as they were
	checked  checks   // of rewritten packs
	segs     []string // the index as it was
	fresh    []string // segments of rewritten packs
	stats    GCStats
}

// packUse is a pack on disk and what is needed of it.
type packUse struct {
	size   int64 // bytes of the file
	live   int64 // bytes of needed sections
	blocks int   // needed blocks
}

type bitset []uint64

func (b bitset) has(i int64) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) set(i int64)      { b[i/64] |= 1 << (i % 64) }

func (g *collector) run(ctx context.Context) (GCStats, error) {
	before, err := g.s.dir.usage()
	if err == nil {
		g.stats.CacheBytes, err = g.s.CacheSize()
	}
	if err == nil {
		err = g.sweepTemp()
	}
	if err != nil {
		return g.stats, err
	}
	if err := g.listPacks(); err != nil {
		return g.stats, err
	}
	if err := g.loadIndex(ctx); err != nil {
		return g.stats, err
	}
	err = g.mark(ctx)
	if errors.Is(err, ipfs.ErrNotFound) { // a pack may have what the index has lost
		if err = g.rebuildIndex(ctx); err == nil {
			err = g.mark(ctx)
		}
	}
	if err != nil {
		return g.stats, err
	}
	if err := g.weigh(); err != nil || g.dry {
		return g.stats, err
	}
	if err := g.compact(ctx); err != nil {
		return g.stats, err
	}
	if !g.stats.NoRoom {
		if err := g.s.dir.sweepRemoved(); err != nil {
			return g.stats, err
		}
	}
	if err := g.forget(); err != nil {
		return g.stats, err
	}
	if err := g.s.note(ctx, g.checked, true); err != nil && !isDiskFull(err) { // it spares work only
		return g.stats, err
	}
	after, err := g.s.dir.usage()
	g.stats.FreedBytes = before - after
	return g.stats, err
}

// usage adds up the bytes of packs, index and temporary files.
func (d dir) usage() (bytes int64, err error) {
	for _, sub := range []string{d.packs(), d.index(), d.tmp()} {
		files, err := os.ReadDir(sub)
		if err != nil {
			return 0, err
		}
		for _, f := range files {
			if info, err := f.Info(); err == nil { // else it is gone already
				bytes += info.Size()
			}
		}
	}
	return bytes, nil
}

// sweepTemp removes what crashed publications were writing: nobody writes now.
// When dry it only counts.
func (g *collector) sweepTemp() error {
	files, err := os.ReadDir(g.s.dir.tmp())
	if err != nil {
		return err
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			return err
		}
		g.stats.AbandonedBytes += info.Size()
		if g.dry {
			continue
		}
		if err := os.RemoveAll(g.s.dir.join("tmp", f.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (g *collector) listPacks() error {
	files, err := os.ReadDir(g.s.dir.packs())
	if err != nil {
		return err
	}
	for _, f := range files {
		id, ok := parsePackID(f.Name())
		if !ok {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return err
		}
		g.packs[id] = &packUse{size: info.Size()}
	}
	return nil
}

// mark finds everything below the roots and the records.
func (g *collector) mark(ctx context.Context) error {
	roots, err := g.s.dir.rootCIDs()
	if err != nil {
		return err
	}
	records, err := g.sweepRecords(ctx)
	if err != nil {
		return err
	}
	g.live, g.walked = make(bitset, g.all.n/64+1), make(bitset, g.all.n/64+1)
	g.stats.KeptBlocks = 0
	for _, root := range roots {
		if err := g.markBelow(ctx, root); err != nil {
			return fmt.Errorf("root %s is damaged: %w; `image2ipfs verify --gateway URL` heals it from a gateway that has it, or remove it, collect garbage, publish it again", root, err)
		}
	}
	for _, r := range records {
		if err := g.markBelow(ctx, r.cid); err != nil {
			return fmt.Errorf("%s %q, pushed to %q, is damaged: %w; remove it and push it again", r.key.Kind, r.key.Name, r.key.Space, err)
		}
	}
	return nil
}

func (g *collector) markBelow(ctx context.Context, root cid.Cid) error {
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		i, e, err := g.all.find(keyOf(c))
		if err != nil {
			return err
		}
		if i < 0 {
			return fmt.Errorf("%w: block %s", ipfs.ErrNotFound, c)
		}
		if !g.live.has(i) {
			g.live.set(i)
			g.stats.KeptBlocks++
			g.progress(GCProgress{Stage: GCMarking, Done: int64(g.stats.KeptBlocks), Total: g.all.n})
		}
		// The same bytes may be a raw leaf here and a node there.
		if c.Type() == cid.Raw || g.walked.has(i) {
			continue
		}
		g.walked.set(i)
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := g.s.packs.section(c, e.location, func(n int) []byte { return make([]byte, n) })
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

// weigh adds up what is needed of each pack.
func (g *collector) weigh() error {
	for i := range g.all.n {
		e, err := g.all.decode(g.all.mem[i*entrySize:][:entrySize])
		if err != nil {
			return err
		}
		if !g.live.has(i) {
			g.stats.RemovedBlocks++
			g.stats.RemovedBytes += int64(e.size)
			continue
		}
		g.stats.KeptBytes += int64(e.size)
		p := g.packs[e.pack]
		p.blocks++
		p.live += int64(e.size)
	}
	return nil
}
