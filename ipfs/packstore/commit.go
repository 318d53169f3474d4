package packstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Commit implements [ipfs.Tx]. After an error nothing is published; blocks that
// others could see by then stay until the next GC.
func (t *tx) Commit(ctx context.Context, root ipfs.Root) (ipfs.Stats, error) {
	return t.commit(ctx, []ipfs.Root{root}, nil)
}

// commit keeps roots and records.
func (t *tx) commit(ctx context.Context, roots []ipfs.Root, records []ipfs.Record) (ipfs.Stats, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var kept []cid.Cid
	for _, r := range roots {
		kept = append(kept, r.CID)
	}
	for _, r := range records {
		kept = append(kept, r.CID)
	}
	if len(kept) == 0 {
		return ipfs.Stats{}, errors.Join(errors.New("nothing to publish: neither a root nor records"), t.abandon())
	}
	err := t.usable(t.main)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return ipfs.Stats{}, errors.Join(fmt.Errorf("publishing %s: %w", kept[0], err), t.abandon())
	}
	entries, stats, err := t.gather(ctx, kept)
	if err == nil {
		err = t.finishPacks(kept[0])
	}
	if err != nil {
		return ipfs.Stats{}, errors.Join(fmt.Errorf("publishing %s: %w", kept[0], err), t.abandon())
	}
	visible, err := t.register(ctx, entries, roots, records)
	if err != nil {
		return ipfs.Stats{}, errors.Join(fmt.Errorf("publishing %s: %w", kept[0], err), t.end(!visible))
	}
	return stats, t.end(false)
}

func (t *tx) abandon() error {
	if t.done {
		return nil
	}
	return t.end(true)
}

// gather brings small branches into the main pack and lists all blocks. Those of
// kept must be there.
func (t *tx) gather(ctx context.Context, kept []cid.Cid) ([]entry, ipfs.Stats, error) {
	for _, p := range t.branches {
		if err := ctx.Err(); err != nil {
			return nil, ipfs.Stats{}, err
		}
		if len(p.blocks) > 0 && p.w.size <= smallPart {
			if err := t.absorb(p); err != nil {
				return nil, ipfs.Stats{}, err
			}
		}
	}
	var entries []entry
	var stats ipfs.Stats
	seen := map[key]bool{}
	for _, p := range t.parts() {
		for k, b := range p.blocks {
			if seen[k] {
				continue
			}
			seen[k] = true
			entries = append(entries, entry{key: k, location: location{pack: p.w.id, off: b.off, size: b.size}})
			stats.NewBlocks++
			stats.NewBytes += int64(b.data)
		}
	}
	stats.HealedBlocks = t.relies.healed
	for _, c := range kept {
		if seen[keyOf(c)] {
			continue
		}
		stored, err := t.stored(ctx, c)
		if err == nil && !stored {
			err = fmt.Errorf("%w: its root block %s was not put", ipfs.ErrNotFound, c)
		}
		if err != nil {
			return nil, stats, err
		}
	}
	return entries, stats, nil
}

func (t *tx) parts() []*part { return append([]*part{t.main}, t.branches...) }

// absorb moves the blocks of a branch into the main pack.
func (t *tx) absorb(p *part) error {
	shift, err := t.main.w.absorb(p.w)
	if err != nil {
		return err
	}
	for k, b := range p.blocks {
		if !t.main.has(k) {
			t.main.blocks[k] = span{off: b.off + shift, size: b.size, data: b.data}
		}
	}
	p.blocks = nil
	return p.w.discard()
}

// finishPacks makes the packs that hold blocks durable.
func (t *tx) finishPacks(root cid.Cid) error {
	for _, p := range t.parts() {
		if len(p.blocks) == 0 {
			continue
		}
		if err := p.w.finish(root); err != nil {
			return err
		}
	}
	t.noteWritten()
	return errors.Join(t.syncHealed(), syncDir(t.s.dir.packs()))
}

// register puts entries into the index and keeps the roots and the records. visible tells, after
// an error, that other publications may rely on the new packs already.
func (t *tx) register(ctx context.Context, entries []entry, roots []ipfs.Root, records []ipfs.Record) (visible bool, err error) {
	if len(entries) > 0 {
		name, err := t.s.dir.addSegment(entries)
		if err != nil {
			return name != "", err
		}
	} else if err := syncDir(t.s.dir.index()); err != nil { // for blocks of others on which root relies
		return true, err
	}
	unlock, err := lockExclusive(ctx, t.s.dir.commitLock(), nil)
	if err != nil {
		return true, err
	}
	if err := t.s.dir.show(roots, records); err != nil {
		return true, errors.Join(err, unlock())
	}
	_ = t.s.dir.remember(t.learnt)                // what is forgotten costs time only
	_ = t.s.dir.noteChecks(t.relies.fresh, false) // as well
	_ = t.s.index.compact()                       // the next publication tries again, and gc does it anyway
	return true, unlock()
}
