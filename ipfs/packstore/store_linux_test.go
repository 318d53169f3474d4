package packstore_test

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// mount mounts something until the test ends, for root only.
func mount(t *testing.T, source, target, fstype string, flags uintptr, data string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		runtime.GC() // closes segments that fell out of use
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// A store that cannot be written, on a read-only disk or of somebody else, can
// be read.
func TestReadOnlyStore(t *testing.T) {
	path := newPath(t)
	content := map[string][]byte{"f": storetest.Random(3<<20, "read-only")}
	c, _ := storetest.Publish(t, open(t, path), content)
	mount(t, path, path, "", unix.MS_BIND, "")
	if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	storetest.Check(t, s, c, content)
	if roots, err := s.Roots(t.Context()); err != nil || len(roots) != 1 {
		t.Errorf("roots: %v, %v", roots, err)
	}
	if _, err := s.Begin(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("Begin: got error %v, want one that says that the store cannot be written", err)
	}
	if err := s.Remove(t.Context(), c); err == nil {
		t.Error("Remove has succeeded")
	}
	if _, err := s.GC(t.Context(), packstore.GCOptions{}); err == nil {
		t.Error("GC has succeeded")
	}
}

// A disk that is full fails the publication by name, leaves what was published,
// and has its space again at once; gc works although nothing can be written.
func TestFullDisk(t *testing.T) {
	path := t.TempDir()
	mount(t, "tmpfs", path, "tmpfs", 0, "size=8m")
	s := open(t, path+"/store")
	a := map[string][]byte{"f": storetest.Random(3<<20, "first")}
	ca, _ := storetest.Publish(t, s, a)
	before := usage(t, s)
	_, err := storetest.TryPublish(t.Context(), s, map[string][]byte{"f": storetest.Random(9<<20, "too much")})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path) {
		t.Errorf("got error %v, want one that matches ENOSPC and names the store", err)
	}
	if got := usage(t, s); got != before {
		t.Errorf("the failed publication left %d bytes", got-before)
	}
	b := map[string][]byte{"f": storetest.Random(2<<20, "fits")}
	cb, _ := storetest.Publish(t, s, b)
	fill(t, path+"/ballast")
	remove(t, s, ca)
	gc(t, s)
	if _, err := s.Get(t.Context(), ca); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("after gc on a full disk: got error %v, want one that matches ErrNotFound", err)
	}
	storetest.Check(t, s, cb, b)
}

// A full disk keeps nothing new in the cache, and what is there can be read.
func TestCacheOnFullDisk(t *testing.T) {
	path := t.TempDir()
	mount(t, "tmpfs", path, "tmpfs", 0, "size=4m")
	c := cacheOf(t, path+"/store", 64<<20)
	cids := put(t, c, 100<<10, 1, 10)
	fill(t, path+"/ballast")
	id, data := rawBlock(100<<10, "no room")
	for range 2 {
		if err := c.Put(t.Context(), id, data); !errors.Is(err, unix.ENOSPC) || !errors.Is(err, packstore.ErrNotKept) {
			t.Errorf("got error %v, want one that matches ErrNotKept and ENOSPC", err)
		}
	}
	if n := found(t, c, append(cids, id)); n != 10 {
		t.Errorf("found %d blocks, want 10", n)
	}
	if err := os.Remove(path + "/ballast"); err != nil {
		t.Fatal(err)
	}
	again := cacheOf(t, path+"/store", 64<<20)
	if err := again.Put(t.Context(), id, data); err != nil || found(t, again, append(cids, id)) != 11 {
		t.Errorf("with room again: %v", err)
	}
}

// A disk that is full leaves no room to write packs anew: gc removes what needs
// none, says so, and does the rest when there is room.
func TestNoRoomToCompact(t *testing.T) {
	path := t.TempDir()
	mount(t, "tmpfs", path, "tmpfs", 0, "size=8m")
	s := open(t, path+"/store")
	shared := storetest.Random(1<<20, "shared")
	b := map[string][]byte{"shared": shared}
	ca, _ := storetest.Publish(t, s, map[string][]byte{"shared": shared, "own": storetest.Random(3<<20, "own")})
	cb, _ := storetest.Publish(t, s, b)
	remove(t, s, ca)
	before := usage(t, s)
	fill(t, path+"/ballast")
	stats, err := s.GC(t.Context(), packstore.GCOptions{})
	if err != nil || !stats.NoRoom {
		t.Errorf("on a full disk: %+v, %v; want NoRoom and no error", stats, err)
	}
	storetest.Check(t, s, cb, b)
	wantFiles(t, s, "tmp", 0)
	if err := os.Remove(path + "/ballast"); err != nil {
		t.Fatal(err)
	}
	if stats, err = s.GC(t.Context(), packstore.GCOptions{}); err != nil || stats.NoRoom {
		t.Errorf("with room: %+v, %v", stats, err)
	}
	if got := usage(t, s); got > before-2<<20 {
		t.Errorf("%d bytes are left of %d", got, before)
	}
	storetest.Check(t, s, cb, b)
}

// fill writes until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{64 << 10, 4096, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// A damaged block that cannot be put right fails the publication.
func TestDamageThatStays(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(3<<20, "stays")}
	storetest.Publish(t, s, content)
	pack := packOf(t, s, 3<<20)
	flip(t, pack, 59+500)
	mount(t, pack, pack, "", unix.MS_BIND, "")
	if err := unix.Mount("", pack, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := storetest.TryPublish(t.Context(), open(t, s.Path()), content)
	if err == nil || !strings.Contains(err.Error(), "is damaged in pack") {
		t.Errorf("got error %v, want one that names the pack", err)
	}
}
