package packstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Cache holds blocks that came from others, below cache/ in the store's
// directory, up to a number of bytes; the pack whose blocks were not read for
// the longest time goes first. It is safe for concurrent use, and any number
// of caches, of several processes, may use one store.
//
// Nothing is flushed to disk, so a block is hashed when it is first read, and
// one that is damaged is not found. Each cache appends to a pack of its own,
// under a lock; a pack without an index whose lock nobody holds was left by a
// cache that was closed or has crashed: the next one goes on with it.
//
//	cache/packs/<id>.car    blocks
//	cache/index/<id>.idx    where they are, for a pack that is full
//	cache/writers/<id>      lock: held by who appends to the pack
//	cache/lock              lock: held while packs begin, end or are removed
type Cache struct {
	dir   dir
	max   int64 // bytes on disk; 0 keeps nothing
	limit int64 // bytes of a pack and its index
	files packFiles

	listing sync.Mutex // held while the directory is listed
	listed  time.Time
	ready   atomic.Bool // it was listed once

	mu    sync.RWMutex // of what follows
	packs map[packID]*cachePack
	known map[uint32]*cachePack // by number
	last  uint32                // the highest number given
	at    map[key]place

	writing sync.Mutex // of what follows
	writer  *cacheWriter
	buf     []byte    // a section being written
	retry   time.Time // writing has failed, and is not tried before
	failed  error     // the failure
}

var (
	_ ipfs.Viewer = (*Cache)(nil)
	_ ipfs.Sender = (*Cache)(nil)
	_ ipfs.Putter = (*Cache)(nil)
)

const (
	maxCachePack   = 64 << 20               // bytes of a pack in the cache
	cacheParts     = 8                      // packs that the smallest cache can hold
	relistAfter    = 100 * time.Millisecond // what others have cached is seen after this time
	retryAfter     = 30 * time.Second       // writing is tried again, after the disk was full
	cacheLockWait  = 5 * time.Second        // for the lock that is held for moments only
	recordUseAfter = 10 * time.Second       // between notes on disk that a pack is used
)

// Cache gives the store's cache with room for max bytes on disk; with 0 it
// finds what is there and keeps nothing new. A block that is longer than an
// eighth of max is not kept. The size holds for all caches of a store together
// when all are given the same.
func (s *Store) Cache(max int64) (*Cache, error) {
	if max < 0 {
		return nil, fmt.Errorf("cache of %s: its size is %d bytes, want 0 or more", s, max)
	}
	d := s.dir.cache()
	return &Cache{
		dir: d, max: max, limit: min(maxCachePack, max/cacheParts), files: packFiles{dir: d},
		packs: map[packID]*cachePack{}, known: map[uint32]*cachePack{}, at: map[key]place{},
	}, nil
}

// String says where the cache is.
func (c *Cache) String() string { return "cache " + string(c.dir) }

// Close closes all files; what is cached stays.
func (c *Cache) Close() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.files.close()
	c.failed, c.retry = errClosed, time.Now().AddDate(100, 0, 0)
	return c.leave()
}

// Has tells whether a block can probably be read, without reading it.
func (c *Cache) Has(_ context.Context, id cid.Cid) bool {
	if !id.Defined() {
		return false
	}
	_, _, ok := c.find(keyOf(id))
	return ok
}

// Size tells how many bytes a block has. Errors are those of Get.
func (c *Cache) Size(ctx context.Context, id cid.Cid) (size int64, err error) {
	if err := c.check(ctx, id); err != nil {
		return 0, err
	}
	err = c.lookup(ctx, id, func(loc location, _ bool) (err error) {
		size, err = c.files.dataSize(id, loc)
		return err
	})
	return size, err
}

// Get reads a block into new memory. A block that cannot be read, or is not
// what its CID says, is as good as absent: the error matches [ipfs.ErrNotFound].
func (c *Cache) Get(ctx context.Context, id cid.Cid) ([]byte, error) {
	return c.read(ctx, id, func(n int) []byte { return make([]byte, n) })
}

// View implements [ipfs.Viewer]; its errors are those of Get and of fn.
func (c *Cache) View(ctx context.Context, id cid.Cid, fn func(data []byte) error) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	data, err := c.read(ctx, id, buffer(buf))
	if err != nil {
		return err
	}
	return fn(data)
}

// Send implements [ipfs.Sender]; its errors are those of Get and of w.
func (c *Cache) Send(ctx context.Context, id cid.Cid, skip int64, w io.ReaderFrom) (int64, error) {
	if err := c.check(ctx, id); err != nil {
		return 0, err
	}
	var f *os.File
	var size int64
	err := c.lookup(ctx, id, func(loc location, _ bool) (err error) {
		f, size, err = c.dir.openSection(id, loc)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Seek(skip, io.SeekCurrent); err != nil {
		return 0, err
	}
	return w.ReadFrom(&io.LimitedReader{R: f, N: size - skip})
}

// Checked implements [ipfs.Checked].
func (c *Cache) Checked(id cid.Cid) bool {
	if !id.Defined() {
		return false
	}
	_, p, ok := c.find(keyOf(id))
	return ok && p.verified
}

// check hashes a block unless that was done before.
func (c *Cache) check(ctx context.Context, id cid.Cid) error {
	if c.Checked(id) {
		return nil
	}
	return c.View(ctx, id, func([]byte) error { return nil })
}

func (c *Cache) read(ctx context.Context, id cid.Cid, alloc func(n int) []byte) (data []byte, err error) {
	err = c.lookup(ctx, id, func(loc location, verified bool) (err error) {
		if data, err = c.files.section(id, loc, alloc); err != nil || verified {
			return err
		}
		return ipfs.VerifyBlock(id, data)
	})
	return data, err
}

// lookup calls try for where a block lies. When try succeeds the block is
// taken as verified, else it is forgotten.
func (c *Cache) lookup(ctx context.Context, id cid.Cid, try func(loc location, verified bool) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !id.Defined() {
		return fmt.Errorf("%w: undefined CID", ipfs.ErrNotFound)
	}
	k := keyOf(id)
	pack, p, ok := c.find(k)
	if !ok {
		return &ipfs.BlockError{CID: id, Place: c.String(), Err: ipfs.ErrNotFound}
	}
	err := try(location{pack: pack.id, off: int64(p.off), size: p.size}, p.verified)
	switch {
	case err == nil:
		c.used(pack)
		if !p.verified {
			c.verified(k, p)
		}
		return nil
	case errors.Is(err, errClosed):
		return err
	case errors.Is(err, os.ErrNotExist): // removed to make room
		c.drop(pack.id)
	default:
		c.forget(k, p)
	}
	return &ipfs.BlockError{CID: id, Place: c.String(), Err: fmt.Errorf("%w: %w", ipfs.ErrNotFound, err)}
}
