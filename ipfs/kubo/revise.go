package kubo

import (
	"context"
	"errors"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// What is decided about records and pins while nobody else changes them.

// Revise implements [ipfs.Recorder].
func (r *Recorder) Revise(ctx context.Context, keys []ipfs.Key, fn func(ipfs.Record) (ipfs.Record, bool)) (err error) {
	unlock, err := r.records.LockSpace(ctx, holdLock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	var stay []ipfs.Record
	var gone []ipfs.Key
	for _, k := range keys {
		was, err := r.Record(ctx, k)
		if err != nil && !errors.Is(err, ipfs.ErrNotFound) && !errors.Is(err, ipfs.ErrCorrupt) {
			return err
		}
		is, stays := was, false
		if err == nil {
			is, stays = fn(was)
		}
		if is.Key, is.CID = k, was.CID; stays {
			stay = append(stay, is)
		} else {
			gone = append(gone, k)
		}
	}
	if err := r.write(ctx, stay); err != nil {
		return err
	}
	return r.forget(ctx, gone)
}

// RemoveIf implements [ipfs.Recorder]. Who publishes by another image2ipfs, or pins by
// Kubo's own command, waits for nobody.
func (r *Recorder) RemoveIf(ctx context.Context, c cid.Cid, may func(ipfs.Root) (bool, error)) (gone bool, err error) {
	unlock, err := r.records.LockSpace(ctx, holdLock)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	name, ok, err := r.pin(ctx, c)
	if err != nil {
		return false, err
	}
	if ok {
		root := ipfs.Root{CID: c}
		root.Names, root.Pushed, _ = parsePin(name)
		if ok, err := may(root); err != nil || !ok {
			return false, err
		}
	}
	if err := r.Remove(ctx, c); err != nil {
		return false, err
	}
	return true, nil
}

// revised are records as they are to be kept beside what is there. The caller holds the
// lock of pins.
func (r *Recorder) revised(ctx context.Context, revise func(is, was ipfs.Record) ipfs.Record, records []ipfs.Record) []ipfs.Record {
	if revise == nil {
		return records
	}
	records = slices.Clone(records)
	for i, is := range records {
		was, err := r.Record(ctx, is.Key)
		if errors.Is(err, ipfs.ErrNotFound) {
			continue
		}
		if err != nil {
			was = ipfs.Record{Key: is.Key}
		}
		records[i] = revise(is, was)
		records[i].Key, records[i].CID = is.Key, is.CID
	}
	return records
}
