package packstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

func gc(t testing.TB, s *packstore.Store) packstore.GCStats {
	t.Helper()
	stats, err := s.GC(t.Context(), packstore.GCOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

func remove(t testing.TB, s *packstore.Store, c cid.Cid) {
	t.Helper()
	if err := s.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// usage adds up the bytes of all files of a store.
func usage(t testing.TB, s *packstore.Store) (n int64) {
	t.Helper()
	for _, sub := range []string{"packs", "index", "tmp"} {
		for _, path := range files(t, s, sub) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			n += info.Size()
		}
	}
	return n
}

// images gives two images that share a layer.
func images() (a, b map[string][]byte) {
	shared := storetest.Random(3<<20, "shared")
	return map[string][]byte{"shared": shared, "own": storetest.Random(5<<20, "a")},
		map[string][]byte{"shared": shared, "own": storetest.Random(4<<20, "b")}
}

// Removing one image must free its space and leave the other whole, whose
// shared layer lies in the pack of the first.
func TestGCKeepsSharedBlocks(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s, other := open(t, path), open(t, path)
	a, b := images()
	ca, _ := storetest.Publish(t, s, a)
	cb, _ := storetest.Publish(t, s, b)
	storetest.Check(t, other, ca, a) // has the packs open
	full := usage(t, s)
	remove(t, s, ca)

	dry, err := s.GC(t.Context(), packstore.GCOptions{DryRun: true})
	if err != nil || usage(t, s) != full {
		t.Errorf("dry run: %v, and the store has %d bytes instead of %d", err, usage(t, s), full)
	}
	stats := gc(t, s)
	if freed := full - usage(t, s); freed < 5<<20 || freed != stats.FreedBytes {
		t.Errorf("%d bytes were freed, GC says %d", freed, stats.FreedBytes)
	}
	if stats.FreedBytes = 0; stats != dry {
		t.Errorf("dry run says %+v, GC did %+v", dry, stats)
	}
	wantFiles(t, s, "index", 1)
	for _, h := range []*packstore.Store{s, other, open(t, path)} {
		storetest.Check(t, h, cb, b)
		if _, err := h.Get(t.Context(), ca); err == nil && h != other { // other may still have the old pack
			t.Error("the removed root is still there")
		}
	}
	if again := gc(t, s); again.RemovedBlocks != 0 || again.FreedBytes > 200 || again.KeptBlocks != stats.KeptBlocks {
		t.Errorf("a second GC found %+v after %+v", again, stats)
	}
	ca, _ = storetest.Publish(t, s, a)
	storetest.Check(t, s, ca, a)
}

// A collection that was killed before it removed the old index has left entries
// of packs that are gone. They must not win over those of the packs that took
// their place, however often segments are merged.
func TestGCKilledBeforeIndex(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	a := map[string][]byte{"shared": storetest.Random(1000, "shared"), "own": storetest.Random(2000, "own")}
	b := map[string][]byte{"shared": a["shared"]} // more than a, so that merging comes upon a's entries first
	for n := range 30 {
		b[fmt.Sprint(n)] = storetest.Random(100, fmt.Sprint("b", n))
	}
	ca, _ := storetest.Publish(t, s, a)
	cb, _ := storetest.Publish(t, s, b)
	old := map[string][]byte{}
	for _, path := range files(t, s, "index") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		old[path] = data
	}
	remove(t, s, ca)
	gc(t, s) // moves the shared layer into another pack
	for path, data := range old {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 40 {
		storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(1000, fmt.Sprint(n))})
	}
	if n := len(files(t, s, "index")); n > 10 {
		t.Fatalf("%d segments: none was merged", n)
	}
	storetest.Check(t, open(t, s.Path()), cb, b)
	gc(t, s)
	storetest.Check(t, s, cb, b)
}

func TestGCOfEverything(t *testing.T) {
	s := open(t, newPath(t))
	c, _ := storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(2<<20, "all")})
	remove(t, s, c)
	gc(t, s)
	for _, sub := range []string{"packs", "index", "tmp", "roots"} {
		wantFiles(t, s, sub, 0)
	}
	if _, err := s.Get(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("got error %v, want one that matches ErrNotFound", err)
	}
}

// A pull that is under way must end well although its image is removed and its
// pack rewritten.
func TestGCBesideAReader(t *testing.T) {
	path := newPath(t)
	server, s := open(t, path), open(t, path)
	a, b := images()
	ca, _ := storetest.Publish(t, s, a)
	cb, _ := storetest.Publish(t, s, b)
	read := func(root cid.Cid, want []byte) func() {
		c, err := ipfs.Resolve(t.Context(), server, root, "own")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ipfs.OpenFile(t.Context(), server, c, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 100)
		if _, err := io.ReadFull(f, got); err != nil {
			t.Fatal(err)
		}
		return func() {
			rest, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(append(got, rest...), want) {
				t.Errorf("reading on after gc: %d bytes, %v", len(got)+len(rest), err)
			}
		}
	}
	goOnA, goOnB := read(ca, a["own"]), read(cb, b["own"])
	remove(t, s, ca)
	gc(t, s)
	goOnA()
	goOnB()
}

func TestGCRemovesDebris(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(2<<20, "debris")}
	c, _ := storetest.Publish(t, s, content)
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	storetest.Add(t, tx, map[string][]byte{"g": storetest.Random(3<<20, "lost")})
	for _, path := range files(t, s, "tmp") { // as a crash would leave them
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"tmp/0123.car", "tmp/0123.idx", "packs/000102030405060708090a0b0c0d0e0f.car"} {
			if err := os.WriteFile(filepath.Join(s.Path(), to), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tx.Abort(); err != nil {
		t.Fatal(err)
	}
	gc(t, s)
	wantFiles(t, s, "tmp", 0)
	wantFiles(t, s, "packs", 1)
	storetest.Check(t, s, c, content)
}

// Two collections exclude each other, and say so.
func TestGCWaits(t *testing.T) {
	s := open(t, newPath(t))
	c, _ := storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(1000, "wait")})
	h, err := s.Heal(t.Context(), c) // has it wait as well
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.GC(ctx, packstore.GCOptions{Progress: func(p packstore.GCProgress) {
		if p.Stage != packstore.GCWaiting {
			t.Errorf("GC is %s although something is being healed", p.Stage)
		}
		cancel()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want one that matches context.Canceled", err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	waited := false
	_, err = s.GC(t.Context(), packstore.GCOptions{Progress: func(packstore.GCProgress) {
		if waited {
			return
		}
		waited = true
		ctx, cancel := context.WithCancel(t.Context())
		_, err := s.GC(ctx, packstore.GCOptions{Progress: func(packstore.GCProgress) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a second GC: got error %v, want one that matches context.Canceled", err)
		}
	}})
	if err != nil || !waited {
		t.Error(err, waited)
	}
}

// GC stopped anywhere must leave every kept root whole, and the next GC must
// finish its work.
func TestGCInterrupted(t *testing.T) {
	t.Parallel()
	for steps := 0; ; steps++ {
		path := newPath(t)
		s := open(t, path)
		a, b := images()
		ca, _ := storetest.Publish(t, s, a)
		cb, _ := storetest.Publish(t, s, b)
		dead, _ := storetest.Publish(t, s, map[string][]byte{"f": storetest.Random(1<<20, "dead")})
		remove(t, s, ca)
		remove(t, s, dead)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err := s.GC(ctx, packstore.GCOptions{Progress: func(p packstore.GCProgress) {
			if p.Stage != packstore.GCCompacting {
				return
			}
			if n == steps {
				cancel()
			}
			n++
		}})
		cancel()
		storetest.Check(t, s, cb, b)
		storetest.Check(t, open(t, path), cb, b)
		if err == nil {
			if steps < 2 {
				t.Errorf("GC had %d steps only", steps)
			}
			break
		}
		_, stats := storetest.Publish(t, open(t, path), a)
		if stats.NewBlocks > 8 {
			t.Errorf("publishing again stored %+v", stats)
		}
		gc(t, s)
		storetest.Check(t, s, ca, a)
		storetest.Check(t, s, cb, b)
	}
}

// Publishers, two of them so slow that gc passes over them, a server, verify and gc on
// one store, as so many processes would.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	keep := map[string][]byte{"f": storetest.Random(3<<20, "keep")}
	kept, _ := storetest.Publish(t, open(t, path), keep)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	work := func(name string, run func(s *packstore.Store, i int) error) {
		s := open(t, path)
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := run(s, i); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	for p := range 2 {
		work("publisher", func(s *packstore.Store, i int) error {
			content := map[string][]byte{"own": storetest.Random(300<<10, fmt.Sprint(p, i)), "shared": storetest.Random(1<<20, fmt.Sprint(i%3))}
			c, err := storetest.TryPublish(ctx, s, content)
			if err != nil {
				return err
			}
			if err := storetest.Compare(ctx, s, c, content); err != nil {
				return err
			}
			return s.Remove(ctx, c)
		})
	}
	var collected atomic.Int64
	for p := range 2 {
		work("slow publisher", func(s *packstore.Store, i int) error {
			first := map[string][]byte{"shared": storetest.Random(1<<20, fmt.Sprint(i%3))}
			content := map[string][]byte{"own": storetest.Random(200<<10, fmt.Sprint("slow", p, i)), "shared": first["shared"], "next": storetest.Random(1<<20, fmt.Sprint((i+1)%3))}
			c, err := slowly(ctx, s, collected.Load, first, content)
			if err == nil {
				err = storetest.Compare(ctx, s, c, content)
			}
			if err != nil {
				return err
			}
			return s.Remove(ctx, c)
		})
	}
	work("server", func(s *packstore.Store, i int) error { return storetest.Compare(ctx, s, kept, keep) })
	work("verify", func(s *packstore.Store, i int) error { return storetest.Compare(ctx, s, kept, keep) })
	work("gc", func(s *packstore.Store, i int) error {
		_, err := s.GC(ctx, packstore.GCOptions{})
		collected.Add(1)
		return err
	})
	wg.Wait()
	s := open(t, path)
	storetest.Check(t, s, kept, keep)
}
