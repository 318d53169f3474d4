package packstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	car "github.com/ipld/go-car/v2"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

func TestEngine(t *testing.T) {
	storetest.Run(t, func(t *testing.T) ipfs.Store { return open(t, newPath(t)) })
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "store") }

func open(t testing.TB, path string) *packstore.Store {
	t.Helper()
	s, err := packstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// files lists what lies in a directory of the store.
func files(t testing.TB, s *packstore.Store, sub string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.Path(), sub, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func wantFiles(t testing.TB, s *packstore.Store, sub string, n int) []string {
	t.Helper()
	got := files(t, s, sub)
	if len(got) != n {
		t.Errorf("%s/ holds %d files, want %d: %q", sub, len(got), n, got)
	}
	return got
}

func TestReopen(t *testing.T) {
	path := newPath(t)
	content := map[string][]byte{"f": storetest.Random(3<<20, "reopen")}
	s, err := packstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := storetest.Publish(t, s, content, "app:1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), c); err == nil {
		t.Error("a closed store has given a block")
	}
	s = open(t, path)
	storetest.Check(t, s, c, content)
	roots, err := s.Roots(t.Context())
	if err != nil || len(roots) != 1 || roots[0].Names[0] != "app:1" || roots[0].Published.IsZero() {
		t.Errorf("roots after reopening: %+v, %v", roots, err)
	}
}

// A server's handle must see at once what a publisher's handle commits, also
// when it has just looked in vain.
func TestSecondHandleSeesPublication(t *testing.T) {
	path := newPath(t)
	server, publisher := open(t, path), open(t, path)
	for _, name := range []string{"a", "b", "c"} {
		content := map[string][]byte{name: storetest.Random(1000, name)}
		tx, err := publisher.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := storetest.Add(t, tx, content)
		if _, err := server.Get(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("before the commit: got error %v, want one that matches ErrNotFound", err)
		}
		if _, err := tx.Commit(t.Context(), ipfs.Root{CID: c}); err != nil {
			t.Fatal(err)
		}
		storetest.Check(t, server, c, content)
		if _, stats := storetest.Publish(t, server, content); stats.NewBlocks != 0 {
			t.Errorf("publishing through the other handle stored %+v", stats)
		}
	}
}

// Thousands of publications must not make look-ups ask thousands of segments,
// nor may a handle lose blocks when segments are merged.
func TestSegmentsAreMerged(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	old, s := open(t, path), open(t, path)
	var contents []map[string][]byte
	for i := range 40 {
		content := map[string][]byte{"f": storetest.Random(100+i, "merge")}
		c, _ := storetest.Publish(t, s, content)
		contents = append(contents, content)
		if i == 5 {
			storetest.Check(t, old, c, content)
		}
	}
	if n := len(files(t, s, "index")); n > 9 {
		t.Errorf("after 40 publications the index has %d segments", n)
	}
	for _, content := range contents {
		if _, stats := storetest.Publish(t, old, content); stats.NewBlocks != 0 {
			t.Errorf("a block was lost: publishing again stored %+v", stats)
		}
	}
}

// A thousand layers of a docker archive are branches; they must not become a
// thousand packs.
func TestSmallBranchesShareAPack(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	content := map[string][]byte{}
	for i := range 120 {
		b, err := tx.Branch()
		if err != nil {
			t.Fatal(err)
		}
		name := string(rune('a' + i))
		content[name] = storetest.Random(100<<10, name)
		storetest.Add(t, b, map[string][]byte{name: content[name]})
	}
	if n := len(files(t, s, "tmp")); n > 100 {
		t.Errorf("the 120 branches have made %d files", n)
	}
	root := storetest.Add(t, blind{tx}, content)
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s, "packs", 1)
	wantFiles(t, s, "tmp", 0)
	storetest.Check(t, s, root, content)
}

// Packs are the field's format: an independent reader must accept each block
// and find the published root in the header.
func TestPacksAreCARs(t *testing.T) {
	s := open(t, newPath(t))
	c, stats := storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(2<<20+5, "car")})
	blocks := 0
	for _, path := range wantFiles(t, s, "packs", 1) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := car.NewBlockReader(f)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Roots) != 1 || !r.Roots[0].Equals(c) {
			t.Errorf("header names %v, published was %s", r.Roots, c)
		}
		for _, err = r.Next(); err == nil; _, err = r.Next() {
			blocks++
		}
		if err.Error() != "EOF" {
			t.Errorf("after %d blocks: %v", blocks, err)
		}
	}
	if blocks != stats.NewBlocks {
		t.Errorf("the packs hold %d blocks, stored were %d", blocks, stats.NewBlocks)
	}
}

func TestModes(t *testing.T) {
	s := open(t, newPath(t))
	storetest.Publish(t, s, map[string][]byte{"f": {1}})
	err := filepath.WalkDir(s.Path(), func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others may read it", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct{ name, file, content, want string }{
		{"a newer format", "version", "2\n", `format "2", this image2ipfs knows format 1`},
		{"a foreign directory", "letter.txt", "dear", "letter.txt is there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, test.file), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := packstore.Open(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
			if got, _ := os.ReadDir(dir); len(got) != 1 {
				t.Errorf("Open has made files: %v", got)
			}
		})
	}
}

func TestDefaultPath(t *testing.T) {
	t.Setenv("IMAGE2IPFS_PATH", "/somewhere")
	if p, err := packstore.DefaultPath(); p != "/somewhere" || err != nil {
		t.Errorf("with IMAGE2IPFS_PATH: %q, %v", p, err)
	}
	t.Setenv("IMAGE2IPFS_PATH", "")
	t.Setenv("XDG_DATA_HOME", "/data")
	if p, err := packstore.DefaultPath(); p != filepath.Join("/data", "image2ipfs") || err != nil {
		t.Errorf("with XDG_DATA_HOME: %q, %v", p, err)
	}
}

// What a peer is told about a block must be right without reading it.
func TestHasAndSize(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	c, _ := storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(300<<10, "size")})
	data, err := s.Get(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Size(t.Context(), c); n != int64(len(data)) || err != nil || !s.Has(t.Context(), c) {
		t.Errorf("size is %d, want %d (%v); Has says %v", n, len(data), err, s.Has(t.Context(), c))
	}
	absent, _ := rawBlock(10, "absent")
	if _, err := s.Size(t.Context(), absent); !errors.Is(err, ipfs.ErrNotFound) || s.Has(t.Context(), absent) {
		t.Errorf("absent block: %v; Has says %v", err, s.Has(t.Context(), absent))
	}
}
