package packstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// FuzzCacheFiles puts any bytes at any place of any file of a cache: it must
// give its blocks or deny them, never others, and go on caching.
func FuzzCacheFiles(f *testing.F) {
	const most = 1 << 16
	template := newPath(f)
	c := cacheOf(f, template, most)
	cids := put(f, c, 900, 1, 12) // one pack that is full, and one that is not
	if err := c.Close(); err != nil {
		f.Fatal(err)
	}
	files := storeFiles(f, filepath.Join(template, "cache"))
	if len(files) != 3 {
		f.Fatalf("the cache has the files %q, want two packs and an index", files)
	}
	for i := range files {
		f.Add(uint8(i), uint16(0), []byte("\x00\xff"), false)
		f.Add(uint8(i), uint16(59), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), false)
		f.Add(uint8(i), uint16(70), []byte{}, true)
		f.Add(uint8(i), uint16(60), []byte("\x01\x55\x12\x20"), true)
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, data []byte, cut bool) {
		path := filepath.Join(t.TempDir(), "store")
		if err := os.CopyFS(path, os.DirFS(template)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(path, "cache", files[int(which)%len(files)])
		broken, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		offset := int(at) % len(broken)
		if copy(broken[offset:], data) < len(data) || cut {
			broken = append(broken[:offset], data...)
		}
		if err := os.WriteFile(file, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		useCache(t, path, most, func(c *packstore.Cache) { found(t, c, cids) })
		useCache(t, path, most, func(c *packstore.Cache) {
			if n := found(t, c, put(t, c, 900, 100, 103)); n != 4 {
				t.Errorf("of 4 blocks that were put %d are there", n)
			}
		})
	})
}

func useCache(t *testing.T, path string, most int64, use func(*packstore.Cache)) {
	s, err := packstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Cache(most)
	if err != nil {
		t.Fatal(err)
	}
	use(c)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
