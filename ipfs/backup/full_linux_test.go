package backup_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/image2ipfs/image2ipfs/ipfs/backup"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// A disk that is full is told by name, leaves no file that is not whole, and the store as
// it was.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	path := t.TempDir()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("no small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := open(t)
	kept(t, s)
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	if _, _, err := backup.WriteFile(t.Context(), path, snap, backup.Contents{Roots: snap.Roots}, backup.Options{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a copy on a small disk: %v", err)
	}
	if files, err := os.ReadDir(path); err != nil || len(files) > 0 {
		t.Errorf("left there are %v, %v", files, err)
	}
	small, err := packstore.Open(path + "/store")
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	storetest.Publish(t, small, map[string][]byte{"f": []byte("mine")})
	before := state(t, small)
	if _, err := backup.Read(t.Context(), bytes.NewReader(backupOf(t, s)), small, backup.Options{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("restored on a small disk: %v", err)
	}
	if got := state(t, small); got != before {
		t.Errorf("the store was\n%s\nand is\n%s", before, got)
	}
	storetest.Publish(t, small, map[string][]byte{"f": []byte("there is room as before")})
}
