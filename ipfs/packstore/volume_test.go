package packstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// A store may have a disk of its own, and each of its directories, too: what the file
// system has there, readable or not, keeps nothing from working and stays.
func TestStoreOnADiskOfItsOwn(t *testing.T) {
	path := newPath(t)
	disk := func(dir string) (made []string) {
		for _, name := range []string{"lost+found", ".snapshot", ".zfs", "System Volume Information", ".Trash-1000"} {
			sub := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Join(sub, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(sub, 0); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(sub, 0o700) })
			made = append(made, sub)
		}
		return made
	}
	made := disk(path)
	s := open(t, path)
	content := map[string][]byte{"f": storetest.Random(1000, "pushed")}
	root, _ := storetest.Publish(t, s, content)
	for _, dir := range []string{"packs", "index", "roots", "tmp", "records"} {
		made = append(made, disk(filepath.Join(path, dir))...)
	}
	s = open(t, path)
	if _, err := s.GC(t.Context(), packstore.GCOptions{}); err != nil {
		t.Errorf("gc: %v", err)
	}
	storetest.Check(t, s, root, content)
	for _, sub := range made {
		if _, err := os.Lstat(sub); err != nil {
			t.Errorf("gc took what the file system has: %v", err)
		}
	}
}

// What somebody has put into a directory is not a store's.
func TestDirectoryOfSomethingElse(t *testing.T) {
	path := newPath(t)
	if err := os.MkdirAll(filepath.Join(path, "photos"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := packstore.Open(path); err == nil || !strings.Contains(err.Error(), "photos is there") {
		t.Errorf("opened: %v", err)
	}
}
