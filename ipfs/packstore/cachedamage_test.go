package packstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// closedCache puts 10 blocks of 1000 bytes into one pack and closes the cache.
func closedCache(t *testing.T, path string) (pack string, cids []cid.Cid) {
	t.Helper()
	c := cacheOf(t, path, 1<<20)
	cids = put(t, c, 1000, 1, 10)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return wantFiles(t, open(t, path), "cache/packs", 1)[0], cids
}

// After a crash that left the end of a pack torn, all before that is there and
// the next cache goes on behind it.
func TestCacheTornTail(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tear func(data []byte) []byte
		want int
	}{
		"untouched":    {func(d []byte) []byte { return d }, 10},
		"in a block":   {func(d []byte) []byte { return d[:len(d)-5] }, 9},
		"in a header":  {func(d []byte) []byte { return d[:len(d)-1020] }, 9},
		"zeros behind": {func(d []byte) []byte { return append(d, make([]byte, 5000)...) }, 10},
		"noise behind": {func(d []byte) []byte {
			return append(d, "\x30no block at all, nor any other section of a pack here"...)
		}, 10},
		"nothing but zeros": {func(d []byte) []byte { return make([]byte, len(d)) }, 0},
		"in the first line": {func(d []byte) []byte { return d[:20] }, 0},
		"empty":             {func([]byte) []byte { return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			pack, cids := closedCache(t, path)
			data, err := os.ReadFile(pack)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(pack, test.tear(data), 0o600); err != nil {
				t.Fatal(err)
			}
			c := cacheOf(t, path, 1<<20)
			if n := found(t, c, cids); n != test.want {
				t.Errorf("found %d blocks, want %d", n, test.want)
			}
			cids = append(put(t, c, 1000, 1, 10), put(t, c, 1000, 11, 20)...)
			if n := found(t, cacheOf(t, path, 1<<20), cids); n != 20 {
				t.Errorf("after going on found %d blocks, want 20", n)
			}
			wantFiles(t, open(t, path), "cache/packs", 1)
		})
	}
}

// A bit that has flipped on disk must not come out by any way, and the block
// can be cached again.
func TestCacheFlippedBit(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(c *packstore.Cache, id cid.Cid) error{
		"Get": func(c *packstore.Cache, id cid.Cid) error { _, err := c.Get(t.Context(), id); return err },
		"View": func(c *packstore.Cache, id cid.Cid) error {
			return c.View(t.Context(), id, func([]byte) error { return nil })
		},
		"Send": func(c *packstore.Cache, id cid.Cid) error {
			_, err := c.Send(t.Context(), id, 0, &onlyReaderFrom{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			pack, cids := closedCache(t, path)
			flip(t, pack, -500)
			c := cacheOf(t, path, 1<<20)
			last := cids[len(cids)-1]
			if err := read(c, last); err == nil || !strings.Contains(err.Error(), ipfs.ErrNotFound.Error()) {
				t.Errorf("got error %v, want one that matches ErrNotFound", err)
			}
			if n := found(t, c, cids); n != 9 {
				t.Errorf("found %d blocks, want the other 9", n)
			}
			put(t, c, 1000, 10, 10)
			if n := found(t, cacheOf(t, path, 1<<20), cids); n != 10 {
				t.Errorf("after putting it again found %d blocks, want 10", n)
			}
		})
	}
}

// A damaged index of a pack costs time only.
func TestCacheDamagedIndex(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	c := cacheOf(t, path, 1<<20)
	cids := put(t, c, 30<<10, 1, 20)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for i, file := range files(t, open(t, path), "cache/index") {
		flip(t, file, i)
	}
	c = cacheOf(t, path, 1<<20)
	if n := found(t, c, cids); n != len(cids) {
		t.Errorf("found %d blocks, want %d", n, len(cids))
	}
	put(t, c, 30<<10, 100, 120)
	if n := cacheBytes(t, path); n > 1<<20 {
		t.Errorf("the cache has %d bytes", n)
	}
}

// fillCache caches blocks until it is killed, and tells of each.
func fillCache(path string) error {
	s, err := packstore.Open(path)
	if err != nil {
		return err
	}
	c, err := s.Cache(4 << 20)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		id, data := rawBlock(10<<10, fmt.Sprint(os.Getpid(), i))
		if err := c.Put(context.Background(), id, data); err != nil {
			return err
		}
		fmt.Println(id)
	}
}

// Whatever is cached is seen by other processes, and outlives the death of the
// one that did it; what dead ones leave is used up by others.
func TestCacheOfKilledProcess(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	beside := cacheOf(t, path, 4<<20)
	for range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashCachePath+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var cids []cid.Cid
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if c, err := cid.Decode(lines.Text()); err == nil {
				cids = append(cids, c)
			}
			if len(cids) == 70 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait() // killed, as it should be
		if cmd.ProcessState.Exited() {
			t.Fatalf("the process has ended by itself: %v", cmd.ProcessState)
		}
		newest := cids[max(0, len(cids)-70):]
		if n := found(t, cacheOf(t, path, 4<<20), newest); n != len(newest) {
			t.Errorf("of %d blocks that were cached before the kill %d are there", len(newest), n)
		}
		waitFor(t, func() bool { return found(t, beside, newest) == len(newest) })
	}
	if n := cacheBytes(t, path); n > 4<<20 {
		t.Errorf("the cache has %d bytes on disk, want at most %d", n, 4<<20)
	}
	if n := len(files(t, open(t, path), "cache/writers")); n > 2 {
		t.Errorf("%d packs are left by dead processes, want at most 2", n)
	}
}
