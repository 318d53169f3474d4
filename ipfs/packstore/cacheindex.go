package packstore

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// place is where a block lies in the cache. It holds no pointer, so that the
// garbage collector passes by a large index.
type place struct {
	pack, off, size uint32 // number of the pack, and the section in it
	verified        bool
}

// cachePack is what is known of a pack in the cache.
type cachePack struct {
	id     packID
	number uint32
	used   atomic.Int64 // Unix time in nanoseconds of the last note on disk

	// Changed under Cache.listing.
	end  int64 // up to here its sections are known
	full bool  // nothing will be appended any more
	ours bool  // this cache appends to it, and knows what is there
}

// find looks for a block, in the directory as it was at most relistAfter ago.
func (c *Cache) find(k key) (*cachePack, place, bool) {
	c.relist(relistAfter)
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, ok := c.at[k]
	pack := c.known[p.pack]
	return pack, p, ok && pack != nil
}

func (c *Cache) verified(k key, p place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at[k] == p {
		p.verified = true
		c.at[k] = p
	}
}

func (c *Cache) forget(k key, p place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.at[k]; now.pack == p.pack && now.off == p.off {
		delete(c.at, k)
	}
}

// drop forgets a pack that is gone, with all its blocks.
func (c *Cache) drop(id packID) {
	c.files.forget(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	pack := c.packs[id]
	if pack == nil {
		return
	}
	delete(c.packs, id)
	delete(c.known, pack.number)
	for k, p := range c.at {
		if p.pack == pack.number {
			delete(c.at, k)
		}
	}
}

// used notes on disk, from time to time, that a pack is in use: all processes
// see it in the file's time.
func (c *Cache) used(pack *cachePack) {
	now, last := time.Now(), pack.used.Load()
	if now.UnixNano()-last > int64(recordUseAfter) && pack.used.CompareAndSwap(last, now.UnixNano()) {
		_ = os.Chtimes(c.dir.pack(pack.id), now, now) // who may only read leaves no trace
	}
}

// relist brings the index up to date unless that was done less than age ago;
// it does not wait for another who does it.
func (c *Cache) relist(age time.Duration) {
	if !c.listing.TryLock() {
		if c.ready.Load() {
			return
		}
		c.listing.Lock() // nothing is known before the first time
	}
	defer c.listing.Unlock()
	if time.Since(c.listed) < age {
		return
	}
	c.list()
	c.listed = time.Now()
	c.ready.Store(true)
}

// list looks for new and removed packs. When the directory cannot be read, all
// stays as it was. The caller holds c.listing.
func (c *Cache) list() {
	ids, err := c.dir.packIDs()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return
	}
	there := map[packID]bool{}
	for _, id := range ids {
		there[id] = true
		c.learn(id)
	}
	c.mu.RLock()
	var gone []packID
	for id := range c.packs {
		if !there[id] {
			gone = append(gone, id)
		}
	}
	c.mu.RUnlock()
	for _, id := range gone {
		c.drop(id)
	}
}

// learn adds the blocks of a pack that are not known yet to the index. The
// caller holds c.listing.
func (c *Cache) learn(id packID) *cachePack {
	c.mu.Lock()
	pack := c.packs[id]
	if pack == nil {
		c.last++
		pack = &cachePack{id: id, number: c.last}
		c.packs[id], c.known[pack.number] = pack, pack
	}
	c.mu.Unlock()
	if pack.full || pack.ours {
		return pack
	}
	entries, err := c.dir.cacheEntries(id)
	if errors.Is(err, ipfs.ErrCorrupt) { // cut off, since it was not flushed
		_ = os.Remove(c.dir.cacheIndex(id))
	}
	if err == nil {
		pack.full = true
	} else {
		entries, pack.end = c.dir.scanSections(id, pack.end)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.packs[id] != pack { // a reader has found meanwhile that it is gone
		return pack
	}
	for _, e := range entries {
		if old, ok := c.at[e.key]; !ok || old.pack != pack.number || int64(old.off) < e.off {
			c.at[e.key] = place{pack: pack.number, off: uint32(e.off), size: e.size}
		}
	}
	return pack
}

// cacheEntries reads the index of a full pack.
func (d dir) cacheEntries(id packID) ([]entry, error) {
	s, err := openSegment(d.cacheIndex(id), id.String())
	if err != nil {
		return nil, err
	}
	if s.file != nil {
		defer s.file.Close()
	}
	cur, err := newCursor(s)
	var entries []entry
	for err == nil {
		if e := cur.cur; e.pack != id || e.off > maxCachePack {
			return nil, s.damaged("an entry for pack %s at %d", e.pack, e.off)
		}
		entries = append(entries, cur.cur)
		err = cur.next()
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return entries, nil
}

// scanSections reads the headers of the complete sections of a pack behind
// from, and tells where they end: at what is torn or no section. A from of 0
// means the beginning.
func (d dir) scanSections(id packID, from int64) (entries []entry, end int64) {
	f, err := os.Open(d.pack(id))
	if err != nil {
		return nil, from
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, from
	}
	if from == 0 && info.Size() >= headerSize {
		from = headerSize
	}
	size := min(info.Size(), maxCachePack+maxSection)
	for from > 0 && from < size {
		k, n, ok := sectionAt(f, from)
		if !ok || from+int64(n) > size {
			break
		}
		entries = append(entries, entry{k, location{pack: id, off: from, size: n}})
		from += int64(n)
	}
	return entries, from
}

// sectionAt reads the header of the section at off: its block's key, and its
// length with the header.
func sectionAt(f io.ReaderAt, off int64) (k key, size uint32, ok bool) {
	var head [maxSectionHeader]byte
	read, _ := f.ReadAt(head[:], off)
	n, width := binary.Uvarint(head[:read])
	if width <= 0 || n == 0 || n > maxSection {
		return k, 0, false
	}
	length, c, err := cid.CidFromBytes(head[width:read])
	if err != nil || uint64(length) > n {
		return k, 0, false
	}
	return keyOf(c), uint32(width) + uint32(n), true
}

// cacheIndex is the name of a pack's index in the cache, which tells that the
// pack is full.
func (d dir) cacheIndex(id packID) string { return d.segment(id.String() + segmentExt) }

// cacheLock is the lock of who appends to a pack in the cache.
func (d dir) cacheLock(id packID) string { return d.join("writers", id.String()) }

// cache is the directory of the cache, which is laid out like a store.
func (d dir) cache() dir { return dir(d.join("cache")) }
