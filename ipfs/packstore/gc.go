package packstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/image2ipfs/image2ipfs/internal/diskspace"
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
	GCWaiting    GCStage = "waiting for another gc, what heals the store, or an older image2ipfs, to end"
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
	ClaimedBytes   int64 `json:"claimedBytes"`   // of useless blocks that stay, since publications under way rely on their packs
	FreedBytes     int64 `json:"freedBytes"`     // on disk, with index and abandoned temporary files; 0 with DryRun
	NoRoom         bool  `json:"noRoom"`         // to rewrite all that should be: the disk is full, and a later GC frees more
	CacheBytes     int64 `json:"cacheBytes"`     // of the cache on disk, before it was emptied if it was
}

// GC removes all blocks that no root needs, and what crashed publications have
// left. Publications and readers go on meanwhile; packs on which a publication under way
// relies are left to the next GC. It waits for another GC, and for Heal, to end.
// Interrupted anywhere, it leaves a complete store. It also
// builds the index anew, from the packs if it is damaged or lacks a block. When a block of a
// kept root is missing GC refuses to go on with an error that matches
// [ipfs.ErrNotFound] or [ipfs.ErrCorrupt], since what lies below is unknown.
func (s *Store) GC(ctx context.Context, o GCOptions) (GCStats, error) {
	if o.Progress == nil {
		o.Progress = func(GCProgress) {}
	}
	g := &collector{
		s: s, progress: o.Progress, dry: o.DryRun, packs: map[packID]*packUse{}, claimed: map[packID]bool{},
		known: s.dir.readChecks(), checked: checks{},
	}
	unlock, err := lockExclusive(ctx, s.dir.collectLock(), g.waits)
	if err != nil {
		return GCStats{}, err
	}
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
	packs    map[packID]*packUse // those of the beginning and rewritten ones, as long as they are there
	all      *segment            // every block of the beginning once, in memory
	live     bitset              // entries of all that are needed
	walked   bitset              // entries of all whose links were followed
	roots    kept                // below which all is marked
	weighed  bool                // what is needed of packs was added up
	late     []entry             // of blocks that were marked after that
	claimed  map[packID]bool     // that stayed for that reason
	known    checks              // of packs as they were
	checked  checks              // of rewritten packs
	segs     []string            // the index as it was, with segments of rewritten packs
	fresh    []string            // those
	freed    int64               // bytes
	stats    GCStats
}

// packUse is a pack on disk and what is needed of it.
type packUse struct {
	size   int64 // bytes of the file
	live   int64 // bytes of needed sections
	blocks int   // needed blocks
	others int   // blocks that are not needed
	waste  int64 // bytes of their sections
	stays  bool  // something in it is needed that all does not know to be in it
}

// needed tells whether gc has to see to it that a pack, or a copy of it, is there.
func (p *packUse) needed() bool { return p.blocks > 0 || p.stays }

// isWasteful tells whether too much of a pack is useless.
func (p *packUse) isWasteful() bool {
	payload := p.size - headerSize
	return !p.stays && p.blocks > 0 && (payload-p.live)*100 > payload*maxDead
}

type bitset []uint64

func (b bitset) has(i int64) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) set(i int64)      { b[i/64] |= 1 << (i % 64) }

func (g *collector) waits() { g.progress(GCProgress{Stage: GCWaiting}) }

func (g *collector) run(ctx context.Context) (_ GCStats, err error) {
	if g.stats.CacheBytes, err = g.s.CacheSize(); err != nil {
		return g.stats, err
	}
	if err := g.sweepTemp(ctx); err != nil {
		return g.stats, err
	}
	if err := g.sweepRecords(ctx); err != nil {
		return g.stats, err
	}
	if err := g.survey(ctx); err != nil {
		return g.stats, err
	}
	if err := g.weigh(); err != nil || g.dry {
		return g.stats, err
	}
	if err := g.compact(ctx); err != nil {
		return g.stats, err
	}
	for id := range g.claimed {
		if p := g.packs[id]; p != nil {
			g.stats.ClaimedBytes += max(p.size-headerSize-p.live, 0) // the index may know of none of it any more
			g.stats.RemovedBytes -= p.waste
			g.stats.RemovedBlocks -= p.others
		}
	}
	g.stats.FreedBytes = g.freed
	return g.stats, g.forgetGone(ctx)
}

// survey finds out what is there and what is needed. Roots are listed before the index,
// and that before the packs, so all that the former lead to is in the latter: whoever
// publishes makes them in the other order, and nobody but gc takes anything away.
func (g *collector) survey(ctx context.Context) error {
	roots, err := g.list(ctx)
	if err != nil {
		return err
	}
	g.s.at("gc: roots listed")
	if g.segs, err = g.s.dir.segments(); err != nil {
		return err
	}
	v, err := g.s.index.refresh()
	if err != nil {
		return err
	}
	g.s.at("gc: index listed")
	if err := g.listPacks(); err != nil {
		return err
	}
	g.s.at("gc: packs listed")
	if err := g.loadIndex(ctx, v); err != nil {
		return err
	}
	err = g.mark(ctx, roots)
	if errors.Is(err, ipfs.ErrNotFound) { // a pack may have what the index has lost
		if err = g.rebuildIndex(ctx); err == nil {
			err = g.mark(ctx, roots)
		}
	}
	g.s.at("gc: marked")
	return err
}

// forgetGone has the store no longer know of what is gone.
func (g *collector) forgetGone(ctx context.Context) error {
	unlock, err := lockExclusive(ctx, g.s.dir.commitLock(), nil)
	if err != nil {
		return err
	}
	now, err := g.s.index.refresh()
	if err == nil {
		g.s.dir.sweepUsed(now.has)
	}
	if err == nil && !g.stats.NoRoom {
		err = g.s.dir.sweepRemoved(func(k key) bool {
			i, _, err := g.all.find(k)
			return now.has(k) && (err != nil || i < 0 || !g.live.has(i)) // what is needed is to be found again
		})
	}
	if err == nil {
		err = g.forget(now)
	}
	if err == nil {
		if err = g.s.dir.noteChecks(g.checked, true); isDiskFull(err) { // it spares work only
			err = nil
		}
	}
	return errors.Join(err, unlock())
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

// fileSize is that of a file, 0 when it is not there.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// sweepTemp removes what crashed publications were writing; when dry it only counts.
// Packs that are being written are locked; all else in tmp/ is written by those who hold
// a lock of the store.
func (g *collector) sweepTemp(ctx context.Context) error {
	unlock, err := g.s.dir.alone(ctx, g.waits)
	if err != nil {
		return err
	}
	files, err := os.ReadDir(g.s.dir.tmp())
	for _, f := range files {
		if err == nil && !diskspace.IsOfVolume(f.Name()) {
			err = g.sweep(g.s.dir.join("tmp", f.Name()), f)
		}
	}
	return errors.Join(err, unlock())
}

func (g *collector) sweep(path string, f os.DirEntry) (err error) {
	release := func() error { return nil }
	if f.Type().IsRegular() {
		var ok bool
		if release, ok, err = takeFile(path); errors.Is(err, os.ErrNotExist) || err == nil && !ok {
			return nil // its writer has thrown it away, or writes to it
		}
		if err != nil {
			return err
		}
	}
	size := fileSize(path)
	gone := g.dry
	if !g.dry {
		if f.Type().IsRegular() {
			gone, err = removeFile(path)
		} else {
			gone, err = true, os.RemoveAll(path)
		}
	}
	if gone {
		g.stats.AbandonedBytes += size
	}
	if gone && !g.dry {
		g.freed += size
	}
	return errors.Join(err, release())
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

// weigh adds up what is needed of each pack.
func (g *collector) weigh() error {
	for i := range g.all.n {
		e, err := g.all.decode(g.all.mem[i*entrySize:][:entrySize])
		if err != nil {
			return err
		}
		p := g.packs[e.pack]
		p.others, p.waste = p.others+1, p.waste+int64(e.size)
		g.stats.RemovedBlocks++
		g.stats.RemovedBytes += int64(e.size)
		if g.live.has(i) {
			g.weighNeeded(e)
		}
	}
	g.weighed = true
	return nil
}

// weighNeeded counts a block, which was counted as removed, as needed.
func (g *collector) weighNeeded(e entry) {
	g.stats.RemovedBlocks--
	g.stats.RemovedBytes -= int64(e.size)
	g.stats.KeptBytes += int64(e.size)
	p := g.packs[e.pack]
	p.others, p.waste = p.others-1, p.waste-int64(e.size)
	p.blocks++
	p.live += int64(e.size)
}
