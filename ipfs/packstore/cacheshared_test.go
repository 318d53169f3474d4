package packstore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// Several readers and writers, in two caches of one store, must not get in
// each other's way, nor take more room together than one may.
func TestCachesSideBySide(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	const most = 4 << 20
	caches := []*packstore.Cache{cacheOf(t, path, most), cacheOf(t, path, most)}
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			c := caches[worker%2]
			for i := range 150 {
				id, data := rawBlock(20<<10, fmt.Sprint(i*(worker/2+1)))
				if err := c.Put(t.Context(), id, data); err != nil {
					t.Error(err)
				}
				found(t, caches[i%2], []cid.Cid{id})
			}
		})
	}
	wg.Wait()
	if n := cacheBytes(t, path); n > most {
		t.Errorf("two caches have %d bytes on disk, want at most %d", n, most)
	}
	cids := put(t, caches[0], 20<<10, 1000, 1003)
	waitFor(t, func() bool { return found(t, caches[1], cids) == len(cids) })
}

// waitFor waits for what another process does.
func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen within 20 s")
		}
	}
}

// Emptying the cache beside those who use it gives the space back and leaves
// them working; gc without being asked leaves it alone.
func TestClearCache(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	if n, err := s.ClearCache(t.Context()); n != 0 || err != nil {
		t.Errorf("no cache: %d bytes, %v", n, err)
	}
	c := cacheOf(t, path, 4<<20)
	cids := put(t, c, 50<<10, 1, 40)
	size, err := s.CacheSize()
	if err != nil || size < 40*50<<10 {
		t.Errorf("size is %d, %v", size, err)
	}
	if stats := gc(t, s); stats.CacheBytes != size || found(t, c, cids) != len(cids) {
		t.Errorf("after gc, which tells of %d bytes of %d, %d blocks are there", stats.CacheBytes, size, found(t, c, cids))
	}
	if n, err := s.ClearCache(t.Context()); n != size || err != nil {
		t.Errorf("freed %d bytes of %d, %v", n, size, err)
	}
	if n := cacheBytes(t, path); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
	waitFor(t, func() bool { return !c.Has(t.Context(), cids[0]) })
	put(t, c, 50<<10, 1, 40)
	if again := cacheOf(t, path, 4<<20); found(t, again, cids) != len(cids) {
		t.Error("what was put afterwards is not there")
	}
}
