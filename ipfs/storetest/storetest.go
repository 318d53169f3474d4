// Package storetest is the test suite that every [ipfs.Store] must pass.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
)

// Run tests the stores that open makes: each call gives one, empty or not,
// that the test may change. open registers what has to be cleaned up.
func Run(t *testing.T, open func(t *testing.T) ipfs.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, e ipfs.Store)
	}{
		{"files come back as they were", testFiles},
		{"publishing again stores nothing", testAgain},
		{"a dropped branch leaves nothing", testDroppedBranch},
		{"a kept branch is published", testKeptBranch},
		{"an aborted publication leaves nothing", testAbort},
		{"a root without its block is refused", testMissingRoot},
		{"removed roots are no longer listed", testRemove},
		{"names of one root are merged", testNames},
		{"publications run side by side", testConcurrent},
		{"a cancelled context stops the work", testCancel},
		{"what is not there is not found", testNotFound},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// Random gives n bytes that depend on seed alone.
func Random(n int, seed string) []byte {
	data := make([]byte, n)
	rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(data)
	return data
}

// Add puts files into p, under a directory, whose CID it gives.
func Add(t testing.TB, p ipfs.Putter, files map[string][]byte) cid.Cid {
	t.Helper()
	c, err := TryAdd(t.Context(), p, files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TryAdd is Add for goroutines other than the test's own.
func TryAdd(ctx context.Context, p ipfs.Putter, files map[string][]byte) (cid.Cid, error) {
	entries := map[string]ipfs.Link{}
	for name, data := range files {
		link, err := ipfs.AddFile(ctx, p, bytes.NewReader(data))
		if err != nil {
			return cid.Undef, fmt.Errorf("adding %s: %w", name, err)
		}
		entries[name] = link
	}
	top, err := ipfs.AddDirectory(ctx, p, entries)
	return top.CID, err
}

// Publish publishes a directory of files.
func Publish(t testing.TB, e ipfs.Store, files map[string][]byte, names ...string) (cid.Cid, ipfs.Stats) {
	t.Helper()
	tx := begin(t, e)
	defer tx.Abort()
	c := Add(t, tx, files)
	stats, err := tx.Commit(t.Context(), ipfs.Root{CID: c, Names: names})
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return c, stats
}

// Check reads a published directory back, hashing each block.
func Check(t testing.TB, g ipfs.Getter, root cid.Cid, files map[string][]byte) {
	t.Helper()
	if err := Compare(t.Context(), g, root, files); err != nil {
		t.Error(err)
	}
}

// Compare is Check for goroutines other than the test's own.
func Compare(ctx context.Context, g ipfs.Getter, root cid.Cid, files map[string][]byte) error {
	g = ipfs.Verified(g)
	for name, want := range files {
		c, err := ipfs.Resolve(ctx, g, root, name)
		if err != nil {
			return fmt.Errorf("resolving %s: %w", name, err)
		}
		got, err := ipfs.ReadFile(ctx, g, c, 1<<30)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s has changed: %d bytes, published were %d", name, len(got), len(want))
		}
	}
	return nil
}

func begin(t testing.TB, e ipfs.Store) ipfs.Tx {
	t.Helper()
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return tx
}

func isKept(t testing.TB, e ipfs.Store, c cid.Cid) (ipfs.Root, bool) {
	t.Helper()
	roots, err := e.Roots(t.Context())
	if err != nil {
		t.Fatalf("listing roots: %v", err)
	}
	i := slices.IndexFunc(roots, func(r ipfs.Root) bool { return r.CID.Equals(c) })
	if i < 0 {
		return ipfs.Root{}, false
	}
	return roots[i], true
}

// wantAbsent checks that a block is not in the store's own store.
func wantAbsent(t testing.TB, e ipfs.Store, c cid.Cid, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := e.Get(ctx, c); !errors.Is(err, ipfs.ErrNotFound) && ctx.Err() == nil {
		t.Errorf("%s: got error %v, want one that matches ErrNotFound", what, err)
	}
}

// members is a layer as the project writes it: gzip members cut at the files of a tar.
func members(t testing.TB) []byte {
	t.Helper()
	c, err := layer.NewCompressor(t.Context(), bytes.NewReader(tarOf(t)), layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func testFiles(t *testing.T, e ipfs.Store) {
	files := map[string][]byte{
		"empty":    nil,
		"one byte": {'x'},
		"a block":  Random(1<<20, "block"),
		"and one":  Random(1<<20+1, "block and one"),
		"five":     Random(5<<20, "five"),
		"members":  members(t),
	}
	root, stats := Publish(t, e, files, "files:1")
	if stats.NewBytes < 8<<20 {
		t.Errorf("publishing more than 8 MiB stored %+v", stats)
	}
	Check(t, e, root, files)
	r, ok := isKept(t, e, root)
	if !ok {
		t.Fatalf("%s is not among the roots", root)
	}
	if !slices.Contains(r.Names, "files:1") {
		t.Errorf("root has names %q, published was files:1", r.Names)
	}
}

func testAgain(t *testing.T, e ipfs.Store) {
	files := map[string][]byte{"f": Random(3<<20, "again")}
	first, _ := Publish(t, e, files)
	second, stats := Publish(t, e, files)
	if first != second {
		t.Errorf("the same files are %s and then %s", first, second)
	}
	if stats != (ipfs.Stats{}) {
		t.Errorf("publishing again stored %+v", stats)
	}
	Check(t, e, second, files)
}

func testDroppedBranch(t *testing.T, e ipfs.Store) {
	kept := map[string][]byte{"small": Random(100, "small"), "shared": Random(2<<20, "shared")}
	tx := begin(t, e)
	defer tx.Abort()
	b, err := tx.Branch()
	if err != nil {
		t.Fatal(err)
	}
	dropped := Add(t, b, map[string][]byte{"big": Random(6<<20, "dropped"), "shared": kept["shared"]})
	root := Add(t, tx, kept) // shares blocks with the branch, which must not be relied on
	if err := b.Drop(); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
		t.Fatal(err)
	}
	Check(t, e, root, kept)
	wantAbsent(t, e, dropped, "root of a dropped branch")
}

func testKeptBranch(t *testing.T, e ipfs.Store) {
	for _, size := range []int{1000, 300 << 10, 6 << 20} {
		files := map[string][]byte{"in branch": Random(size, fmt.Sprint("branch", size)), "outside": Random(1000, "outside")}
		tx := begin(t, e)
		defer tx.Abort()
		b, err := tx.Branch()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ipfs.AddFile(t.Context(), b, bytes.NewReader(files["in branch"])); err != nil {
			t.Fatal(err)
		}
		none := discardPutter{} // the branch has these blocks
		link, _ := ipfs.AddFile(t.Context(), none, bytes.NewReader(files["in branch"]))
		outside, err := ipfs.AddFile(t.Context(), tx, bytes.NewReader(files["outside"]))
		if err != nil {
			t.Fatal(err)
		}
		top, err := ipfs.AddDirectory(t.Context(), tx, map[string]ipfs.Link{"in branch": link, "outside": outside})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context(), ipfs.Root{CID: top.CID}); err != nil {
			t.Fatal(err)
		}
		Check(t, e, top.CID, files)
	}
}

type discardPutter struct{}

func (discardPutter) Put(context.Context, cid.Cid, []byte) error { return nil }

func testAbort(t *testing.T, e ipfs.Store) {
	tx := begin(t, e)
	c := Add(t, tx, map[string][]byte{"f": Random(3<<20, "aborted")})
	if err := tx.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Abort(); err != nil {
		t.Errorf("second Abort: %v", err)
	}
	wantAbsent(t, e, c, "aborted root")
	if _, ok := isKept(t, e, c); ok {
		t.Errorf("aborted root %s is listed", c)
	}
}

func testMissingRoot(t *testing.T, e ipfs.Store) {
	tx := begin(t, e)
	defer tx.Abort()
	Add(t, tx, map[string][]byte{"f": Random(10, "there")})
	missing := Add(t, discardPutter{}, map[string][]byte{"f": Random(10, "not there")})
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: missing}); err == nil {
		t.Error("a root was published whose block was never put")
	}
	if _, ok := isKept(t, e, missing); ok {
		t.Error("the root is listed")
	}
}

func testRemove(t *testing.T, e ipfs.Store) {
	files := map[string][]byte{"f": Random(1000, "removed")}
	c, _ := Publish(t, e, files)
	if err := e.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, ok := isKept(t, e, c); ok {
		t.Errorf("%s is listed after it was removed", c)
	}
	if err := e.Remove(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("removing again: got error %v, want one that matches ErrNotFound", err)
	}
	again, _ := Publish(t, e, files)
	Check(t, e, again, files)
	if _, ok := isKept(t, e, c); !ok {
		t.Errorf("%s is not listed after it was published again", c)
	}
}

func testNames(t *testing.T, e ipfs.Store) {
	files := map[string][]byte{"f": Random(1000, "names")}
	Publish(t, e, files, "app:2", "app:1")
	c, _ := Publish(t, e, files, "app:3", "app:1")
	r, _ := isKept(t, e, c)
	for _, want := range []string{"app:1", "app:2", "app:3"} {
		if !slices.Contains(r.Names, want) {
			t.Errorf("published under app:1, app:2 and app:3, but the names are %q", r.Names)
		}
	}
}

func testConcurrent(t *testing.T, e ipfs.Store) {
	shared := Random(2<<20, "in all")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			files := map[string][]byte{"shared": shared, "own": Random(2<<20, fmt.Sprint("own", i))}
			c, err := TryPublish(t.Context(), e, files)
			if err == nil {
				err = Compare(t.Context(), e, c, files)
			}
			if err != nil {
				t.Errorf("publication %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// TryPublish is Publish for goroutines other than the test's own.
func TryPublish(ctx context.Context, e ipfs.Store, files map[string][]byte) (cid.Cid, error) {
	tx, err := e.Begin(ctx)
	if err != nil {
		return cid.Undef, err
	}
	defer tx.Abort()
	c, err := TryAdd(ctx, tx, files)
	if err != nil {
		return cid.Undef, err
	}
	_, err = tx.Commit(ctx, ipfs.Root{CID: c})
	return c, err
}

func testCancel(t *testing.T, e ipfs.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := e.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := Add(t, tx, map[string][]byte{"f": Random(2<<20, "cancelled")})
	cancel()
	if _, err := tx.Commit(ctx, ipfs.Root{CID: c}); err == nil {
		t.Error("a publication whose context was cancelled has succeeded")
	}
	if err := tx.Abort(); err != nil {
		t.Errorf("Abort after a failed Commit: %v", err)
	}
	if _, ok := isKept(t, e, c); ok {
		t.Error("a cancelled publication is listed")
	}
	if _, err := e.Get(ctx, c); err == nil {
		t.Error("Get with a cancelled context has succeeded")
	}
}

func testNotFound(t *testing.T, e ipfs.Store) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], rand.Uint64())
	c := Add(t, discardPutter{}, map[string][]byte{"f": b[:]})
	wantAbsent(t, e, c, "a block that nobody has")
	if err := e.Remove(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("removing it: got error %v, want one that matches ErrNotFound", err)
	}
}
