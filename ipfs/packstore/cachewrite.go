package packstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gofrs/flock"
	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/owned"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// cacheWriter appends to a pack of the cache.
type cacheWriter struct {
	pack   *cachePack
	file   *os.File
	lock   *flock.Flock
	size   int64 // bytes written
	blocks int64 // sections written
}

// ErrNotKept is matched by the errors of [Cache.Put] about a block that could
// not be kept, be it that the cache is off, too small for it, or that the disk
// is full. The block itself is as good as before.
var ErrNotKept = errors.New("block was not cached")

// Put keeps a block, which the caller has checked against its CID. The error
// matches [ErrNotKept]; after a failed write Put tries no other for a while.
func (c *Cache) Put(ctx context.Context, id cid.Cid, data []byte) error {
	if err := c.put(ctx, id, data); err != nil {
		return fmt.Errorf("%w: %s in the %s: %w", ErrNotKept, id, c, err)
	}
	return nil
}

func (c *Cache) put(ctx context.Context, id cid.Cid, data []byte) error {
	switch codec := id.Prefix().Codec; {
	case c.max == 0:
		return errors.New("its size is 0")
	case codec != cid.DagProtobuf && codec != cid.Raw:
		return errors.New("it keeps dag-pb and raw blocks only")
	case id.ByteLen()+binary.MaxVarintLen64 > maxSectionHeader:
		return fmt.Errorf("the CID has %d bytes, at most %d are allowed", id.ByteLen(), maxSectionHeader-binary.MaxVarintLen64)
	case len(data) > maxBlock || int64(len(data))+maxSectionHeader+overhead(1)+headerSize > c.limit:
		return fmt.Errorf("the block has %d bytes, a pack of the cache takes %d", len(data), min(maxBlock, c.limit))
	}
	k := keyOf(id)
	if _, _, ok := c.find(k); ok {
		return nil
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, _, ok := c.find(k); ok { // put by another meanwhile
		return nil
	}
	if c.failed != nil && time.Now().Before(c.retry) {
		return c.failed
	}
	c.failed = c.append(ctx, k, id, data)
	if c.failed != nil {
		c.retry = time.Now().Add(retryAfter)
		if ctx.Err() != nil {
			c.retry = time.Time{}
		}
	}
	return c.failed
}

// overhead is how long the index of a pack with n blocks is.
func overhead(n int64) int64 { return n*entrySize + 16 + footerSize }

// append writes a block behind the others; the caller holds c.writing.
func (c *Cache) append(ctx context.Context, k key, id cid.Cid, data []byte) error {
	c.buf = append(car.AppendHead(c.buf[:0], id, len(data)), data...)
	for kept := false; !kept; { // not when the pack is removed at this moment
		if err := c.prepare(ctx, int64(len(c.buf))); err != nil {
			return err
		}
		w := c.writer
		if _, err := w.file.WriteAt(c.buf, w.size); err != nil {
			return errors.Join(err, w.file.Truncate(w.size))
		}
		p := place{pack: w.pack.number, off: uint32(w.size), size: uint32(len(c.buf)), verified: true}
		w.size += int64(len(c.buf))
		w.blocks++
		kept = c.enter(w.pack, k, p)
	}
	return nil
}

// enter takes a block into the index, unless its pack was removed.
func (c *Cache) enter(pack *cachePack, k key, p place) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.packs[pack.id] != pack {
		return false
	}
	c.at[k] = p
	return true
}

// prepare sees to it that the writer has room for a section of n bytes.
func (c *Cache) prepare(ctx context.Context, n int64) error {
	if c.writer != nil && c.writer.fits(n, c.limit) && !c.removed(c.writer.pack) {
		return nil
	}
	for _, path := range []string{c.dir.packs(), c.dir.index(), c.dir.join("writers"), c.dir.tmp()} {
		if err := owned.MkdirAll(path); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cacheLockWait)
	defer cancel()
	unlock, err := lockExclusive(ctx, c.dir.gcLock(), nil)
	if err != nil {
		return err
	}
	if c.writer != nil && c.removed(c.writer.pack) {
		err = c.leave()
	}
	for err == nil && (c.writer == nil || !c.writer.fits(n, c.limit)) {
		if err = c.finish(); err == nil {
			err = c.begin()
		}
	}
	return errors.Join(err, unlock())
}

func (w *cacheWriter) fits(n, limit int64) bool {
	return w.size+n+overhead(w.blocks+1) <= limit
}

// removed tells whether somebody has emptied the cache.
func (c *Cache) removed(pack *cachePack) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.packs[pack.id] != pack
}

// begin makes room and starts a pack, or goes on with one that was left. The
// caller holds the cache's lock.
func (c *Cache) begin() error {
	left, err := c.makeRoom()
	if err != nil {
		return err
	}
	id, openPack := newPackID(), owned.Create
	if left != nil {
		id, openPack = left.id, func(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR, 0) }
	}
	lock, err := owned.Lock(c.dir.cacheLock(id))
	if err != nil {
		return err
	}
	ok, err := lock.TryLock()
	if err == nil && !ok {
		err = errors.New("another process holds the lock")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("locking %s: %w", lock, err), lock.Close())
	}
	f, err := openPack(c.dir.pack(id))
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	w := &cacheWriter{file: f, lock: lock}
	if err := c.resume(w, id); err != nil {
		return errors.Join(err, f.Close(), lock.Close())
	}
	c.writer = w
	return nil
}

// resume brings a pack into the state to append to: what is torn at its end is
// cut off, and a missing header written.
func (c *Cache) resume(w *cacheWriter, id packID) error {
	c.listing.Lock()
	defer c.listing.Unlock()
	if w.pack = c.learn(id); w.pack.full { // it had an index, which is gone
		w.pack.full = false
		c.learn(id)
	}
	if w.pack.end <= headerSize {
		header, err := car.Header(unknownRoot)
		if err == nil {
			_, err = w.file.WriteAt(header, 0)
		}
		if err != nil {
			return err
		}
		w.pack.end = headerSize
	}
	w.size, w.blocks = w.pack.end, c.count(w.pack)
	if err := w.file.Truncate(w.size); err != nil {
		return err
	}
	w.pack.ours = true
	return nil
}

func (c *Cache) count(pack *cachePack) (n int64) {
	c.entries(pack, func(entry) { n++ })
	return n
}

func (c *Cache) entries(pack *cachePack, fn func(entry)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for k, p := range c.at {
		if p.pack == pack.number {
			fn(entry{k, location{pack: pack.id, off: int64(p.off), size: p.size}})
		}
	}
}

// finish writes the index of the writer's pack, which is full. The caller
// holds the cache's lock.
func (c *Cache) finish() error {
	w := c.writer
	if w == nil {
		return nil
	}
	if _, err := os.Stat(c.dir.pack(w.pack.id)); errors.Is(err, os.ErrNotExist) {
		return c.leave() // an index without a pack would stay for good
	}
	var entries []entry
	c.entries(w.pack, func(e entry) { entries = append(entries, e) })
	if err := c.dir.writeCacheIndex(w.pack.id, entries); err != nil {
		return errors.Join(err, c.leave())
	}
	err := c.leave()
	_ = os.Remove(c.dir.cacheLock(w.pack.id))
	return err
}

// leave stops writing to the pack, which another may go on with.
func (c *Cache) leave() error {
	w := c.writer
	if w == nil {
		return nil
	}
	c.writer = nil
	c.listing.Lock()
	w.pack.ours, w.pack.end = false, w.size
	c.listing.Unlock()
	return errors.Join(w.file.Close(), w.lock.Close())
}

// writeCacheIndex gives a full pack its index, which is not flushed: it has
// checksums.
func (d dir) writeCacheIndex(id packID, entries []entry) error {
	tmp := d.join("tmp", id.String()+segmentExt)
	if _, err := removeFile(tmp); err != nil { // of who was interrupted
		return err
	}
	f, err := owned.Create(tmp)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(f)
	if _, err = writeEntries(b, entries); err == nil {
		err = b.Flush()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, d.cacheIndex(id))
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}
