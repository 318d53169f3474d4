package packstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// damages are what happens to packs.
var damages = map[string]func(t *testing.T, pack string){
	"data flipped":       func(t *testing.T, pack string) { flip(t, pack, 59+500) },
	"length flipped":     func(t *testing.T, pack string) { flip(t, pack, 59) },
	"CID flipped":        func(t *testing.T, pack string) { flip(t, pack, 59+10) },
	"last flipped":       func(t *testing.T, pack string) { flip(t, pack, -1) },
	"cut":                func(t *testing.T, pack string) { truncate(t, pack, 1<<20+100) },
	"cut to nothing":     func(t *testing.T, pack string) { truncate(t, pack, 0) },
	"cut between blocks": func(t *testing.T, pack string) { truncate(t, pack, 59+1<<20+39) },
	"header alone":       func(t *testing.T, pack string) { truncate(t, pack, 59) },
	"time set back": func(t *testing.T, pack string) {
		info, err := os.Stat(pack)
		if err != nil {
			t.Fatal(err)
		}
		flip(t, pack, 59+700)
		if err := os.Chtimes(pack, time.Time{}, info.ModTime()); err != nil {
			t.Fatal(err)
		}
	},
	"gone": func(t *testing.T, pack string) {
		if err := os.Remove(pack); err != nil {
			t.Fatal(err)
		}
	},
}

func truncate(t testing.TB, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// A publication over a damaged pack that says success is whole, and so is what
// else shares its blocks.
func TestPublishingHeals(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			s := open(t, newPath(t))
			content := map[string][]byte{"f": storetest.Random(3<<20, name), "g": storetest.Random(1000, name)}
			first, _ := storetest.Publish(t, s, content)
			other := map[string][]byte{"f": content["f"], "own": []byte(name)}
			second, _ := storetest.Publish(t, s, other)
			damage(t, packOf(t, s, 3<<20))

			s = open(t, s.Path())
			third, stats := storetest.Publish(t, s, map[string][]byte{"f": content["f"], "g": content["g"]})
			if !third.Equals(first) {
				t.Fatalf("published %s, before it was %s", third, first)
			}
			if name != "gone" && stats.HealedBlocks == 0 {
				t.Errorf("nothing was healed: %+v", stats)
			}
			s = open(t, s.Path())
			storetest.Check(t, s, first, content)
			storetest.Check(t, s, second, other)
			if _, stats := storetest.Publish(t, s, content); stats.HealedBlocks != 0 || stats.NewBlocks != 0 {
				t.Errorf("the next publication found something to do: %+v", stats)
			}
			gc(t, s)
			storetest.Check(t, open(t, s.Path()), first, content)
			storetest.Check(t, s, second, other)
		})
	}
}

// packOf gives the pack of a store that has at least size bytes.
func packOf(t testing.TB, s *packstore.Store, size int64) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.Path(), "packs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Size() >= size {
			return path
		}
	}
	t.Fatalf("no pack of %d bytes among %d", size, len(paths))
	return ""
}

// What is remembered of a file is forgotten when one of its blocks is damaged: it
// is published anew, which heals it.
func TestDamagedFileIsForgotten(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			s := open(t, newPath(t))
			data := storetest.Random(3<<20, name)
			tx, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Abort()
			link, err := ipfs.AddFile(t.Context(), tx, bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			tx.(ipfs.Memory).Remember("key", ipfs.Known{Link: link, Digest: digest.FromBytes(data)})
			if _, err := tx.Commit(t.Context(), ipfs.Root{CID: link.CID}); err != nil {
				t.Fatal(err)
			}
			if recalled(t, s, "key") != true {
				t.Fatal("a whole file was forgotten")
			}
			damage(t, packOf(t, s, 3<<20))
			if recalled(t, open(t, s.Path()), "key") {
				t.Error("a damaged file was recalled")
			}
		})
	}
}

func recalled(t testing.TB, s *packstore.Store, key string) bool {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	_, ok := tx.(ipfs.Memory).Recall(t.Context(), key)
	return ok
}

// What was read whole is not read again until it changes: publishing the same once
// more costs no reading of packs. A pack of which nothing is known, as of a store
// that an older image2ipfs wrote, is read once.
func TestPacksAreReadOnce(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(3<<20, "once")}
	storetest.Publish(t, s, content)
	checked := filepath.Join(s.Path(), "checked")
	before, err := os.ReadFile(checked)
	if err != nil || len(before) != 48+12 {
		t.Fatalf("after the first publication %d bytes: %v, want one record", len(before), err)
	}
	again := func(what string) []byte {
		t.Helper()
		storetest.Publish(t, open(t, s.Path()), content)
		now, err := os.ReadFile(checked)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return now
	}
	if now := again("nothing has changed"); !bytes.Equal(before, now) {
		t.Error("a pack that had not changed was read again")
	}
	for what, spoil := range map[string]func(){
		"no state":        func() { os.Remove(checked) },
		"damaged state":   func() { flip(t, checked, 20) },
		"state of a file": func() { truncate(t, checked, 11) },
	} {
		spoil()
		if now := again(what); len(now) != len(before) || bytes.Equal(now[:48], before[:48]) {
			t.Errorf("%s: the pack was not read again", what)
		}
	}
	before = again("")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(wantFiles(t, s, "packs", 1)[0], later, later); err != nil {
		t.Fatal(err)
	}
	if now := again("the pack has changed"); bytes.Equal(before, now) {
		t.Error("a pack that has changed was not read again")
	}
}

// gc keeps what is known of packs that it writes anew, and drops the rest.
func TestChecksOutliveGC(t *testing.T) {
	s := open(t, newPath(t))
	shared := storetest.Random(2<<20, "stays")
	gone, _ := storetest.Publish(t, s, map[string][]byte{"shared": shared, "own": storetest.Random(2<<20, "goes")})
	content := map[string][]byte{"shared": shared}
	storetest.Publish(t, s, content)
	remove(t, s, gone)
	gc(t, s)
	packs, err := filepath.Glob(filepath.Join(s.Path(), "packs", "*"))
	before, rerr := os.ReadFile(filepath.Join(s.Path(), "checked"))
	if err != nil || rerr != nil || len(before) != 48*len(packs)+12 {
		t.Fatalf("%d packs, %d bytes of records: %v, %v", len(packs), len(before), err, rerr)
	}
	storetest.Publish(t, open(t, s.Path()), content)
	if now, err := os.ReadFile(filepath.Join(s.Path(), "checked")); err != nil || !bytes.Equal(before, now) {
		t.Errorf("packs were read again that gc wrote (%v)", err)
	}
}

// A publication whose record cannot be made to last fails and is not shown; one
// that was shown before stays as it was. The same of a removal.
func TestFailedFlushOfRecords(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(1000, "kept")}
	kept, _ := storetest.Publish(t, s, content, "kept:1")
	fault := errors.New("the disk says no")
	failing := true
	packstore.FailSync(t, func(path string) error {
		if failing && filepath.Base(path) == "roots" {
			return fault
		}
		return nil
	})
	_, err := storetest.TryPublish(t.Context(), s, map[string][]byte{"f": storetest.Random(1000, "new")})
	if !errors.Is(err, fault) {
		t.Errorf("publishing: got error %v", err)
	}
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: storetest.Add(t, tx, content), Names: []string{"kept:2"}}); !errors.Is(err, fault) {
		t.Errorf("publishing under another name: got error %v", err)
	}
	if err := s.Remove(t.Context(), kept); !errors.Is(err, fault) {
		t.Errorf("removing: got error %v", err)
	}
	roots, err := s.Roots(t.Context())
	if err != nil || len(roots) != 1 || fmt.Sprint(roots[0].Names) != "[kept:1]" {
		t.Errorf("the store shows %+v (%v), want what was there", roots, err)
	}
	failing = false
	storetest.Publish(t, s, content, "kept:2")
	remove(t, s, kept)
	if roots, err := s.Roots(t.Context()); err != nil || len(roots) != 0 {
		t.Errorf("the store shows %+v (%v)", roots, err)
	}
}

// A push that says failure shows nothing: neither the records that were written before
// the one whose flush failed, nor the roots.
func TestFailedFlushOfPush(t *testing.T) {
	s := open(t, newPath(t))
	fault := errors.New("the disk says no")
	failing := ""
	packstore.FailSync(t, func(path string) error {
		if failing != "" && strings.Contains(path, failing) {
			return fault
		}
		return nil
	})
	record := func(kind, name, content string) ipfs.Record {
		link, err := ipfs.AddFile(t.Context(), discards{}, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		return ipfs.Record{Key: ipfs.Key{Kind: kind, Space: "app", Name: name}, CID: link.CID}
	}
	push := func(content string) error {
		tx, err := s.BeginRecords(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Abort()
		root := storetest.Add(t, tx, map[string][]byte{"f": []byte(content)})
		_, err = tx.CommitRecords(t.Context(), []ipfs.Root{{CID: root, Names: []string{"app:1"}}}, record("blob", "a", content), record("tag", "1", content))
		return err
	}
	if err := push("first"); err != nil {
		t.Fatal(err)
	}
	failing = filepath.Join("records", "tag")
	if err := push("second"); !errors.Is(err, fault) {
		t.Errorf("pushing: got error %v", err)
	}
	for _, kind := range []string{"blob", "tag"} {
		got, err := s.Records(t.Context(), kind, "app")
		if want := record(kind, "", "first"); err != nil || len(got) != 1 || got[0].CID != want.CID {
			t.Errorf("%s: the store shows %+v (%v), want what was there", kind, got, err)
		}
	}
	if roots, err := s.Roots(t.Context()); err != nil || len(roots) != 1 {
		t.Errorf("the store shows %+v (%v), want what was there", roots, err)
	}
	failing = ""
	if err := push("second"); err != nil {
		t.Error(err)
	}
	if roots, err := s.Roots(t.Context()); err != nil || len(roots) != 2 {
		t.Errorf("the store shows %+v (%v)", roots, err)
	}
}

// discards is a store of which only CIDs are wanted.
type discards struct{}

func (discards) Put(context.Context, cid.Cid, []byte) error { return nil }
