package packstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Commit implements [ipfs.Tx]. After an error nothing is published; packs that
// were where they stay by then do so until the next GC. The error matches
// [ipfs.ErrNotFound] when gc, or somebody else, has taken away what the publication
// links to and has not put.
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
		err = t.seal(kept[0])
	}
	if err == nil {
		t.s.at("commit: sealed")
		err = t.publish(ctx, kept, entries, roots, records)
	}
	if err != nil {
		return ipfs.Stats{}, errors.Join(fmt.Errorf("publishing %s: %w", kept[0], err), t.end())
	}
	return stats, t.end()
}

func (t *tx) abandon() error {
	if t.done {
		return nil
	}
	return t.end()
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

// seal makes the packs that hold blocks, and what was put right, durable.
func (t *tx) seal(root cid.Cid) error {
	for _, p := range t.parts() {
		if len(p.blocks) == 0 {
			continue
		}
		if err := p.w.seal(root); err != nil {
			return err
		}
	}
	return t.syncHealed()
}

// publish puts packs and entries where they stay and keeps the roots and the records,
// while gc takes nothing away. What is there after an error stays until the next GC:
// others may rely on it.
func (t *tx) publish(ctx context.Context, kept []cid.Cid, entries []entry, roots []ipfs.Root, records []ipfs.Record) (err error) {
	unlock, err := t.s.dir.share(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	collected, err := t.collected()
	if err != nil {
		return err
	}
	if err := t.checkClaims(); err != nil {
		return err
	}
	if collected { // gc may have dropped entries that nothing needed but this publication
		for k, loc := range t.relies.found {
			entries = append(entries, entry{k, loc})
		}
	}
	if err := t.place(entries); err != nil {
		return err
	}
	if collected {
		if err := t.s.checkWhole(ctx, kept); err != nil {
			return err
		}
	}
	commit, err := lockExclusive(ctx, t.s.dir.commitLock(), nil)
	if err != nil {
		return err
	}
	if err := t.s.dir.show(roots, t.revised(records)); err != nil {
		return errors.Join(err, commit())
	}
	_ = t.s.dir.remember(t.learnt)                // what is forgotten costs time only
	_ = t.s.dir.noteChecks(t.relies.fresh, false) // as well
	_ = t.s.index.compact()                       // the next publication tries again, and gc does it anyway
	return commit()
}

// place makes the packs and the entries part of the store: what it costs that is not
// there on a full disk comes first.
func (t *tx) place(entries []entry) error {
	var made pendingSegment
	var err error
	if len(entries) > 0 {
		made, err = t.s.dir.makeSegment(func(f *os.File) (uint64, error) { return writeEntries(f, entries) })
		if err != nil {
			return err
		}
	}
	for _, p := range t.parts() {
		if len(p.blocks) > 0 && err == nil {
			err = p.w.place()
		}
	}
	if err == nil {
		err = syncDir(t.s.dir.packs())
	}
	if err != nil {
		return errors.Join(err, made.discard())
	}
	t.noteWritten()
	if made.name == "" {
		return syncDir(t.s.dir.index()) // for blocks of others on which root relies
	}
	return made.place()
}
