package packstore_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A full pack whose index was removed under a running cache is gone on with,
// not begun anew: its blocks stay.
func TestCacheResumesFullPack(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	writer := cacheOf(t, path, 8<<20)
	cids := put(t, writer, 100<<10, 1, 15)
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	c := cacheOf(t, path, 8<<20)
	if n := found(t, c, cids); n != len(cids) {
		t.Fatalf("%d of %d blocks", n, len(cids))
	}
	indexes, err := filepath.Glob(filepath.Join(path, "cache", "index", "*"))
	if err != nil || len(indexes) == 0 {
		t.Fatalf("full packs: %v, %v", indexes, err)
	}
	for _, name := range indexes {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	cids = append(cids, put(t, c, 100<<10, 16, 16)...)
	if n := found(t, c, cids); n != len(cids) {
		t.Errorf("%d of %d blocks are left", n, len(cids))
	}
	if n := found(t, cacheOf(t, path, 8<<20), cids); n != len(cids) {
		t.Errorf("another cache has %d of %d blocks", n, len(cids))
	}
}

// A cache that is emptied while many use it loses blocks, and nothing else.
func TestCacheEmptiedInUse(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	c, store := cacheOf(t, path, 8<<20), open(t, path)
	var users sync.WaitGroup
	for user := range 4 {
		users.Go(func() {
			for i := range 100 {
				cids := put(t, c, 10<<10, user*100+i, user*100+i)
				found(t, c, cids)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		users.Wait()
	}()
	for cleared := false; !cleared; {
		if _, err := store.ClearCache(t.Context()); err != nil {
			t.Error(err)
		}
		select {
		case <-done:
			cleared = true
		default:
		}
	}
	if cids := put(t, c, 10<<10, 1000, 1000); found(t, c, cids) != 1 {
		t.Error("the cache does not keep anything any more")
	}
}
