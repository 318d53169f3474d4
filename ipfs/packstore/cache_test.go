package packstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// cacheOf opens a cache of a store until the test ends.
func cacheOf(t testing.TB, path string, max int64) *packstore.Cache {
	t.Helper()
	c, err := open(t, path).Cache(max)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// rawBlock makes a block of n bytes that depend on seed alone.
func rawBlock(n int, seed string) (cid.Cid, []byte) {
	data := storetest.Random(n, seed)
	c, err := cid.NewPrefixV1(cid.Raw, multihash.SHA2_256).Sum(data)
	if err != nil {
		panic(err) // SHA-256 is always there
	}
	return c, data
}

// put caches blocks of n bytes, from first to last, and tells their CIDs.
func put(t testing.TB, c *packstore.Cache, n, first, last int) (cids []cid.Cid) {
	t.Helper()
	for i := first; i <= last; i++ {
		id, data := rawBlock(n, fmt.Sprint(i))
		if err := c.Put(t.Context(), id, data); err != nil {
			t.Fatal(err)
		}
		cids = append(cids, id)
	}
	return cids
}

// found counts the blocks that a cache gives, whole and right.
func found(t testing.TB, c *packstore.Cache, cids []cid.Cid) (n int) {
	t.Helper()
	for _, id := range cids {
		data, err := c.Get(t.Context(), id)
		switch {
		case err == nil:
			n++
			if err := ipfs.VerifyBlock(id, data); err != nil {
				t.Error(err)
			}
		case !errors.Is(err, ipfs.ErrNotFound):
			t.Error(err)
		}
	}
	return n
}

// cacheBytes adds up all files of a cache, be they what they may.
func cacheBytes(t testing.TB, path string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(path, "cache"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				n += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What was cached comes back, every way it can be read, in this process and in
// the next, and nothing else does.
func TestCache(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	first := cacheOf(t, path, 64<<20)
	cids := put(t, first, 100<<10, 1, 20)
	if _, data := rawBlock(100<<10, "1"); first.Put(t.Context(), cids[0], data) != nil {
		t.Error("putting again has failed")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	c := cacheOf(t, path, 64<<20)
	id, want := rawBlock(100<<10, "7")
	var sent onlyReaderFrom
	if n, err := c.Send(t.Context(), id, 11, &sent); err != nil || n != 100<<10-11 || !bytes.Equal(sent.Bytes(), want[11:]) {
		t.Errorf("Send: %d bytes, %v", n, err)
	}
	err := c.View(t.Context(), id, func(data []byte) error {
		if !bytes.Equal(data, want) {
			t.Error("View shows something else")
		}
		return errGone
	})
	if !errors.Is(err, errGone) {
		t.Errorf("View: got error %v, want that of its function", err)
	}
	if n := found(t, c, cids); n != 20 || !c.Has(t.Context(), id) {
		t.Errorf("found %d blocks, want 20; Has of one: %v", n, c.Has(t.Context(), id))
	}
	if n, err := c.Size(t.Context(), id); n != 100<<10 || err != nil {
		t.Errorf("size is %d, %v", n, err)
	}
	absent, _ := rawBlock(10, "absent")
	if c.Has(t.Context(), absent) || c.Has(t.Context(), cid.Undef) || found(t, c, []cid.Cid{absent, cid.Undef}) != 0 {
		t.Error("found what was never put")
	}
	if _, err := c.Size(t.Context(), absent); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("size of an absent block: %v", err)
	}
	if _, err := c.Send(t.Context(), absent, 0, &sent); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("Send of an absent block: %v", err)
	}
}

// A cache must never take more of the disk than it was given, whatever the
// size of blocks, and keep the newest.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	for _, size := range []int{60, 5 << 10, 100 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			c := cacheOf(t, path, most)
			var cids []cid.Cid
			for i := range 3 * most / (size + 100) {
				cids = append(cids, put(t, c, size, i, i)...)
				if i%10 == 0 {
					if n := cacheBytes(t, path); n > most {
						t.Fatalf("the cache has %d bytes on disk, want at most %d", n, most)
					}
				}
			}
			newest := cids[len(cids)*3/4:] // the last quarter of three times the size
			if n := found(t, c, newest); n != len(newest) {
				t.Errorf("%d of the newest %d blocks are there", n, len(newest))
			}
			if n := found(t, c, cids[:10]); n != 0 {
				t.Errorf("%d of the oldest 10 blocks are there", n)
			}
		})
	}
}

// What is read stays, what nobody reads goes.
func TestCacheEvictsWhatIsUnused(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	const most, size = 1 << 20, 30 << 10
	c := cacheOf(t, path, most)
	first := put(t, c, size, 1, 4) // as many as lie in one pack
	pack := wantFiles(t, open(t, path), "cache/packs", 1)[0]
	others := put(t, c, size, 5, 24)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range files(t, open(t, path), "cache/packs") {
		old := time.Now().Add(-time.Hour)
		if file == pack {
			old = old.Add(-time.Hour)
		}
		if err := os.Chtimes(file, old, old); err != nil {
			t.Fatal(err)
		}
	}
	c = cacheOf(t, path, most)
	if n := found(t, c, first[:1]); n != 1 {
		t.Fatal("the first block is not found")
	}
	put(t, c, size, 100, 115)
	if n := found(t, c, first); n != len(first) {
		t.Errorf("%d of the %d blocks of the pack that was read are there", n, len(first))
	}
	if n := found(t, c, others); n > len(others)-8 {
		t.Errorf("%d of %d blocks that nobody has read are there", n, len(others))
	}
}

// A cache whose size is 0 keeps nothing; what is too large, or of a kind that
// cannot be, is told.
func TestCacheRefuses(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	small, data := rawBlock(100, "small")
	large, tooMuch := rawBlock(1<<20, "large")
	other := cid.NewCidV1(cid.DagJSON, small.Hash())
	inline, err := multihash.Sum(make([]byte, 300), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		max  int64
		id   cid.Cid
		data []byte
	}{{0, small, data}, {1 << 20, large, tooMuch}, {1 << 20, other, data}, {1 << 20, cid.NewCidV1(cid.Raw, inline), make([]byte, 300)}} {
		c := cacheOf(t, path, test.max)
		if err := c.Put(t.Context(), test.id, test.data); !errors.Is(err, packstore.ErrNotKept) {
			t.Errorf("%s, %d bytes in a cache of %d: got error %v, want ErrNotKept", test.id, len(test.data), test.max, err)
		}
	}
	if n := cacheBytes(t, path); n != 0 {
		t.Errorf("%d bytes were written", n)
	}
	if _, err := open(t, path).Cache(-1); err == nil {
		t.Error("a cache of -1 bytes was opened")
	}
	c := cacheOf(t, path, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Put(ctx, small, data); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := c.Put(t.Context(), small, data); err != nil {
		t.Errorf("after one that was cancelled: %v", err)
	}
}
