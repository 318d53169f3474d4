package node_test

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/enginetest"
	"github.com/image2ipfs/image2ipfs/ipfs/node"
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
	content := map[string][]byte{"f": enginetest.Random(3<<20, "read-only")}
	c, _ := enginetest.Publish(t, open(t, path), content)
	mount(t, path, path, "", unix.MS_BIND, "")
	if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	enginetest.Check(t, s, c, content)
	if roots, err := s.Roots(t.Context()); err != nil || len(roots) != 1 {
		t.Errorf("roots: %v, %v", roots, err)
	}
	if _, err := s.Begin(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("Begin: got error %v, want one that says that the store cannot be written", err)
	}
	if err := s.Remove(t.Context(), c); err == nil {
		t.Error("Remove has succeeded")
	}
	if _, err := s.GC(t.Context(), node.GCOptions{}); err == nil {
		t.Error("GC has succeeded")
	}
}

// A disk that is full fails the publication by name, leaves what was published,
// and has its space again at once; gc works although nothing can be written.
func TestFullDisk(t *testing.T) {
	path := t.TempDir()
	mount(t, "tmpfs", path, "tmpfs", 0, "size=8m")
	s := open(t, path+"/store")
	a := map[string][]byte{"f": enginetest.Random(3<<20, "first")}
	ca, _ := enginetest.Publish(t, s, a)
	before := usage(t, s)
	_, err := enginetest.TryPublish(t.Context(), s, map[string][]byte{"f": enginetest.Random(9<<20, "too much")})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path) {
		t.Errorf("got error %v, want one that matches ENOSPC and names the store", err)
	}
	if got := usage(t, s); got != before {
		t.Errorf("the failed publication left %d bytes", got-before)
	}
	b := map[string][]byte{"f": enginetest.Random(2<<20, "fits")}
	cb, _ := enginetest.Publish(t, s, b)
	fill(t, path+"/ballast")
	remove(t, s, ca)
	gc(t, s)
	if _, err := s.Get(t.Context(), ca); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("after gc on a full disk: got error %v, want one that matches ErrNotFound", err)
	}
	enginetest.Check(t, s, cb, b)
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
