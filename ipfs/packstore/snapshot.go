package packstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Snapshot is what a store keeps at one moment. As an [ipfs.Getter] it has all blocks
// below that until it is released, whatever is removed and collected meanwhile (on Windows,
// where open files are not removed, gc leaves them for the next). It must be released.
type Snapshot struct {
	ipfs.Getter
	Roots   []ipfs.Root   // oldest first
	Records []ipfs.Record // in no order
	release func()
}

// Release gives the store's files back.
func (s *Snapshot) Release() { s.release() }

// Snapshot gives what is kept now. Nothing is published, and nothing collected, while it
// lists roots and records and opens packs, which are as many files as stay open. The error
// matches [ipfs.ErrCorrupt] when a record is damaged.
func (s *Store) Snapshot(ctx context.Context) (_ *Snapshot, err error) {
	unlock, err := lockExclusive(ctx, s.dir.commitLock(), nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	snap := &Snapshot{}
	if snap.Roots, err = s.Roots(ctx); err != nil {
		return nil, err
	}
	dirs, err := s.dir.recordDirs()
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		err := eachRecord(ctx, dir, func(_ string, r ipfs.Record) error {
			if !isOver(r) {
				snap.Records = append(snap.Records, r)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	h, err := s.holdAll()
	if err != nil {
		return nil, fmt.Errorf("opening the packs of %s: %w", s, err)
	}
	snap.Getter, snap.release = h, h.release
	return snap, nil
}

// holdAll holds every pack that is there. The caller keeps gc from taking one away.
func (s *Store) holdAll() (*held, error) {
	v, err := s.index.refresh()
	if err != nil {
		return nil, err
	}
	ids, err := s.dir.packIDs()
	if err != nil {
		return nil, err
	}
	h := &held{s: s, view: v, packs: map[packID]*packFile{}, all: true}
	for _, id := range ids {
		if err := h.take(id); err != nil {
			h.release()
			return nil, err
		}
	}
	return h, nil
}
