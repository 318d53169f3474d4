package packstore_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// What other programs leave in any directory of a store, whatever it is called, keeps
// nothing from working, and is told.
func TestForeignFilesEverywhere(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	tx, err := s.BeginRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	content := map[string][]byte{"f": storetest.Random(1000, "pushed")}
	root := storetest.Add(t, tx, content)
	key := ipfs.Key{Kind: "tag", Space: "app", Name: "1"}
	if _, err := tx.CommitRecords(t.Context(), []ipfs.Root{{CID: root}}, ipfs.Record{Key: key, CID: root}); err != nil {
		t.Fatal(err)
	}
	var dirs []string
	if err := filepath.WalkDir(path, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 7 {
		t.Fatalf("the store has the directories %q", dirs)
	}
	for _, dir := range dirs {
		for _, name := range []string{"._x.json", "x (1).json", "._y.idx", "z (1).idx", "._p.car", "desktop.ini"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"@eaDir", "._d.json", "d.idx", "0123456789abcdef0123456789abcdef.idx"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("/nowhere", filepath.Join(dir, "link.json")); err != nil {
			t.Logf("no symbolic links here: %v", err)
		}
	}
	again := open(t, path)
	if _, err := again.GC(t.Context(), packstore.GCOptions{}); err != nil {
		t.Errorf("gc: %v", err)
	}
	storetest.Check(t, again, root, content)
	if got, err := again.Records(t.Context(), "tag", "app"); err != nil || len(got) != 1 {
		t.Errorf("records: %+v, %v", got, err)
	}
	if got, err := again.Spaces(t.Context(), "tag"); err != nil || len(got) != 1 {
		t.Errorf("spaces: %q, %v", got, err)
	}
	foreign, err := again.Foreign()
	for _, want := range []string{"roots/._x.json", "index/z (1).idx"} {
		if err != nil || !slices.Contains(foreign, filepath.Join(path, filepath.FromSlash(want))) {
			t.Errorf("%s is not told: %q, %v", want, foreign, err)
		}
	}
	other, _ := storetest.Publish(t, again, map[string][]byte{"g": storetest.Random(1000, "other")})
	remove(t, again, other)
}
