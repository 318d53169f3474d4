package packstore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// commit publishes one block.
func commit(t testing.TB, s *packstore.Store, c cid.Cid, data []byte) {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	if err := tx.Put(t.Context(), c, data); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: c}); err != nil {
		t.Fatal(err)
	}
}

// spoil puts other bytes of that length in place of those of a block, wherever they
// lie below dir.
func spoil(t testing.TB, dir string, old, other []byte) {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(data, old) {
			return err
		}
		found = true
		return os.WriteFile(path, bytes.ReplaceAll(data, old, other), 0o600)
	})
	if err != nil || !found {
		t.Fatalf("the block's bytes are not below %s: %v", dir, err)
	}
}

// A store, its cache and both together give blocks as all sources do.
func TestGetterSuite(t *testing.T) {
	open := func(t *testing.T) (*packstore.Store, *packstore.Cache) {
		s, err := packstore.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		cache, err := s.Cache(64 << 20)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cache.Close() })
		return s, cache
	}
	t.Run("store", func(t *testing.T) {
		storetest.RunGetter(t, func(t *testing.T) storetest.Source {
			s, _ := open(t)
			blocks := map[cid.Cid][]byte{}
			return storetest.Source{
				Getter: s,
				Put:    func(t testing.TB, c cid.Cid, data []byte) { blocks[c] = data; commit(t, s, c, data) },
				Lie:    func(t testing.TB, c cid.Cid, data []byte) { spoil(t, s.Path(), blocks[c], data) },
			}
		})
	})
	put := func(p ipfs.Putter) func(t testing.TB, c cid.Cid, data []byte) {
		return func(t testing.TB, c cid.Cid, data []byte) {
			t.Helper()
			if err := p.Put(t.Context(), c, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("cache", func(t *testing.T) {
		storetest.RunGetter(t, func(t *testing.T) storetest.Source {
			_, cache := open(t)
			return storetest.Source{Getter: cache, Put: put(cache)} // what is spoilt in it, it has no more
		})
	})
	t.Run("both", func(t *testing.T) {
		storetest.RunGetter(t, func(t *testing.T) storetest.Source {
			s, cache := open(t)
			local := packstore.NewLocal(s, cache)
			return storetest.Source{Getter: local, Put: put(local)}
		})
	})
}
