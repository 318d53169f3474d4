package packstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/owned"
)

// cacheFile is a pack of the cache on disk.
type cacheFile struct {
	id   packID
	size int64 // bytes of the pack and its index
	used time.Time
	full bool // it has an index
}

// cacheFiles lists the packs of a cache, the one that was not used for the
// longest time first. A cache that is not there is empty.
func (d dir) cacheFiles() (list []cacheFile, err error) {
	files, err := os.ReadDir(d.packs())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing cache: %w", err)
	}
	for _, f := range files {
		id, ok := parsePackID(f.Name())
		if !ok {
			continue
		}
		info, err := f.Info()
		if err != nil { // removed meanwhile
			continue
		}
		file := cacheFile{id: id, size: info.Size(), used: info.ModTime()}
		if index, err := os.Stat(d.cacheIndex(id)); err == nil {
			file.size += index.Size()
			file.full = true
		}
		list = append(list, file)
	}
	slices.SortFunc(list, func(a, b cacheFile) int { return a.used.Compare(b.used) })
	return list, nil
}

// makeRoom removes packs until another one has room, and gives one that was
// left by its writer and is not full, if there is one: nothing has to go for
// that. Packs to which others append count with their full size, since they
// grow without asking. The caller holds the cache's lock.
func (c *Cache) makeRoom() (left *cacheFile, err error) {
	files, err := c.dir.cacheFiles()
	if err != nil {
		return nil, err
	}
	sum := c.limit
	for i := range files {
		f := &files[i]
		switch {
		case f.full:
		case c.dir.busy(f.id):
			f.size = max(f.size, c.limit)
		case left == nil && f.size < c.limit:
			left = f
			continue
		}
		sum += f.size
	}
	for _, f := range files {
		if sum <= c.max {
			break
		}
		if left != nil && f.id == left.id || !f.full && c.dir.busy(f.id) {
			continue
		}
		gone, err := c.dir.removeCached(f.id)
		if err != nil {
			return nil, err
		}
		c.drop(f.id)
		if gone {
			sum -= f.size
		}
	}
	if sum > c.max {
		return nil, fmt.Errorf("%d bytes are in use by other processes and %d are allowed", sum-c.limit, c.max)
	}
	return left, nil
}

// busy tells whether somebody appends to a pack. The caller holds the cache's
// lock, so that nobody begins meanwhile.
func (d dir) busy(id packID) bool {
	if _, err := os.Stat(d.cacheLock(id)); err != nil {
		return false
	}
	lock, err := owned.Lock(d.cacheLock(id))
	if err != nil {
		return true
	}
	ok, err := lock.TryLock()
	return errors.Join(err, lock.Close()) != nil || !ok
}

// removeCached removes a pack of the cache: its index first, so that what is
// left after a crash is a pack whose writer has gone.
func (d dir) removeCached(id packID) (gone bool, err error) {
	for _, path := range []string{d.cacheIndex(id), d.pack(id), d.cacheLock(id)} {
		if gone, err := removeFile(path); err != nil || !gone {
			return gone, err
		}
	}
	return true, nil
}

// CacheSize is how many bytes the cache has on disk.
func (s *Store) CacheSize() (bytes int64, err error) {
	files, err := s.dir.cache().cacheFiles()
	for _, f := range files {
		bytes += f.size
	}
	return bytes, err
}

// ClearCache removes all that is cached, and tells how many bytes that were. A
// process that is writing finds out and begins anew; what it has open takes
// space until then.
func (s *Store) ClearCache(ctx context.Context) (freed int64, err error) {
	return s.ShrinkCache(ctx, 0, time.Time{})
}

// ShrinkCache is ClearCache of those packs alone that were not read since a time, zero for
// none of them, and of the others, those first that were not read for longest, until at
// most max bytes are left.
func (s *Store) ShrinkCache(ctx context.Context, max int64, since time.Time) (freed int64, err error) {
	d := s.dir.cache()
	files, err := d.cacheFiles()
	if err != nil || len(files) == 0 {
		return 0, err
	}
	unlock, err := lockExclusive(ctx, d.gcLock(), nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if files, err = d.cacheFiles(); err != nil {
		return 0, err
	}
	var sum int64
	for _, f := range files {
		sum += f.size
	}
	for _, f := range files {
		if sum-freed <= max && !f.used.Before(since) {
			break
		}
		gone, err := d.removeCached(f.id)
		if err != nil {
			return freed, fmt.Errorf("emptying the cache of %s: %w", s, err)
		}
		if gone {
			freed += f.size
		}
	}
	return freed, nil
}
