package packstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// points are where a GC may be when something else happens; at the last nobody can
// publish anything, and claims are still made.
var points = []string{"roots listed", "index listed", "packs listed", "marked", "copied", "index made", "alone"}

// stage is a store with everything that gc has to do with: garbage alone, a pack that is
// rewritten, one that stays with a little garbage in it, and something that is kept.
type stage struct {
	*packstore.Store
	kept map[cid.Cid]map[string][]byte
	dead map[string][]byte // content of which every file is garbage
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{open(t, newPath(t)), map[cid.Cid]map[string][]byte{}, map[string][]byte{}}
	publish := func(content map[string][]byte) cid.Cid {
		c, _ := storetest.Publish(t, s.Store, content)
		return c
	}
	whole := map[string][]byte{"whole": storetest.Random(300<<10, "whole")}
	gone := []cid.Cid{publish(whole)}
	shared := storetest.Random(1<<20, "stage")
	halved := map[string][]byte{"shared": shared, "half": storetest.Random(1<<20, "half")}
	gone = append(gone, publish(halved))
	keep := map[string][]byte{"shared": shared, "big": storetest.Random(3<<20, "big")}
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	little := map[string][]byte{"little": storetest.Random(50<<10, "little")}
	storetest.Add(t, tx, little)
	root := storetest.Add(t, tx, keep)
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
		t.Fatal(err)
	}
	s.kept[root] = keep
	for _, c := range gone {
		remove(t, s.Store, c)
	}
	for _, content := range []map[string][]byte{whole, halved, little} {
		for name, data := range content {
			if name != "shared" {
				s.dead[name] = data
			}
		}
	}
	return s
}

// check checks what is kept, in this process and as another would see it.
func (s *stage) check(t *testing.T, when string) {
	t.Helper()
	for root, content := range s.kept {
		storetest.Check(t, open(t, s.Path()), root, content)
		storetest.Check(t, s.Store, root, content)
	}
	if t.Failed() {
		t.Fatalf("%s", when)
	}
}

// collectAt collects garbage and has something else happen at a point, once.
func (s *stage) collectAt(t *testing.T, point string, happen func()) error {
	t.Helper()
	c := open(t, s.Path())
	done := false
	packstore.SetHook(c, func(at string) {
		if at == "gc: "+point && !done {
			done = true
			happen()
		}
	})
	_, err := c.GC(t.Context(), packstore.GCOptions{})
	if !done {
		t.Errorf("gc was never %s", point)
	}
	return err
}

// A publication that begins before gc, or at some point of it, puts what is new and finds
// what is garbage, and ends at some point or after gc, is whole from then on.
func TestPublicationAtEachPointOfGC(t *testing.T) {
	t.Parallel()
	const before, after = -1, 100
	for from := before; from < len(points); from++ {
		for _, to := range []int{from, from + 1, len(points) - 2, after} {
			if to == before || to < from || to < after && to >= len(points)-1 {
				continue // nothing ends while gc is alone
			}
			t.Run(fmt.Sprint(from, " to ", to), func(t *testing.T) {
				t.Parallel()
				newPassing(t).run(t, from, to)
			})
		}
	}
}

// passing is a publication over which gc passes.
type passing struct {
	*stage
	other   *packstore.Store // by which it is made
	content map[string][]byte
	tx      ipfs.Tx
	root    cid.Cid
	ended   bool
}

func newPassing(t *testing.T) *passing {
	s := newStage(t)
	content := map[string][]byte{"new": storetest.Random(200<<10, "new")}
	maps.Copy(content, s.dead)
	return &passing{stage: s, other: open(t, s.Path()), content: content}
}

func (p *passing) begin(t *testing.T) {
	var err error
	if p.tx, err = p.other.Begin(t.Context()); err != nil {
		t.Error(err)
	}
}

func (p *passing) put(t *testing.T) { p.root = storetest.Add(t, p.tx, p.content) }

func (p *passing) end(t *testing.T) {
	p.ended = true
	if _, err := p.tx.Commit(t.Context(), ipfs.Root{CID: p.root}); err != nil {
		t.Error(err)
		return
	}
	p.kept[p.root] = p.content
	p.check(t, "when it has ended")
}

// run has it begin and put at one point, and end at another. Where gc is alone it has
// begun before.
func (p *passing) run(t *testing.T, from, to int) {
	alone := from == len(points)-1
	if from < 0 {
		p.begin(t)
		p.put(t)
	}
	p.interleave(t, func(at int) {
		if at == 0 && alone || at == from && !alone {
			p.begin(t)
		}
		if at == from {
			p.put(t)
		}
		if at == to {
			p.end(t)
		}
	})
	if p.tx == nil {
		t.Fatal("it has not begun")
	}
	if !p.ended { // or gc had nothing to copy that was not claimed
		p.end(t)
	}
	p.check(t, "after gc")
	for range 2 {
		gc(t, p.Store)
		p.check(t, "after another gc")
	}
	wantFiles(t, p.Store, "tmp", 0)
}

// interleave collects garbage and tells of each of its points when it comes to it for the
// first time.
func (s *stage) interleave(t *testing.T, happen func(at int)) {
	t.Helper()
	c := open(t, s.Path())
	seen := map[string]bool{}
	packstore.SetHook(c, func(at string) {
		for i, point := range points {
			if at == "gc: "+point && !seen[point] {
				seen[point] = true
				happen(i)
			}
		}
	})
	if _, err := c.GC(t.Context(), packstore.GCOptions{}); err != nil {
		t.Error(err)
	}
}

// A record that leads to what nobody has put or looked up in its transaction, as that of a
// tag does, is whole, or is refused.
func TestLinkAtEachPointOfGC(t *testing.T) {
	t.Parallel()
	for _, point := range points[:len(points)-1] {
		for _, removed := range []bool{true, false} {
			t.Run(fmt.Sprint(point, removed), func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				linked := map[string][]byte{"f": storetest.Random(300<<10, "linked")}
				root, _ := storetest.Publish(t, s.Store, linked)
				file, err := ipfs.Resolve(t.Context(), s, root, "f")
				if err != nil {
					t.Fatal(err)
				}
				tx, err := s.BeginRecords(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				top, err := ipfs.AddDirectory(t.Context(), tx, map[string]ipfs.Link{"again": {CID: file, Size: 300 << 10, DAG: 300 << 10}})
				if err != nil {
					t.Fatal(err)
				}
				if removed {
					remove(t, s.Store, root)
				} else {
					s.kept[root] = linked
				}
				ended := false
				end := func() {
					_, err = tx.CommitRecords(t.Context(), nil, ipfs.Record{Key: ipfs.Key{Kind: "tag", Space: "app", Name: "1"}, CID: top.CID})
					ended = true
				}
				if err := s.collectAt(t, point, end); err != nil || !ended {
					t.Fatal(err, ended)
				}
				switch {
				case err == nil:
					s.kept[top.CID] = map[string][]byte{"again": linked["f"]}
				case !errors.Is(err, ipfs.ErrNotFound) || !removed:
					t.Errorf("got error %v", err)
				}
				s.check(t, "after gc")
				gc(t, s.Store)
				s.check(t, "after another gc")
			})
		}
	}
}

// What is put right in a pack that gc has copied, but not yet put its copy in the place
// of, stays right.
func TestHealWhileGCCopies(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	shared := packWith(t, s.Store, storetest.Random(1<<20, "stage")[:1000])
	data, err := os.ReadFile(shared)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, storetest.Random(1<<20, "stage")[:1000])
	flip(t, shared, at+500)
	content := slices.Collect(maps.Values(s.kept))[0]
	err = s.collectAt(t, "copied", func() {
		_, stats := storetest.Publish(t, open(t, s.Path()), content)
		if stats.HealedBlocks == 0 {
			t.Errorf("%+v, want a block healed", stats)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.check(t, "after gc")
	gc(t, s.Store)
	s.check(t, "after another gc")
}

// packWith finds the pack that has some bytes.
func packWith(t *testing.T, s *packstore.Store, part []byte) string {
	t.Helper()
	for _, path := range files(t, s, "packs") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, part) {
			return path
		}
	}
	t.Fatal("no pack has it")
	return ""
}

// An older image2ipfs beside knows of no claims. What it takes away fails a publication
// that has relied on it, and a gc that has looked at it, and nothing else.
func TestOlderGCBeside(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	root := storetest.Add(t, tx, map[string][]byte{"whole": s.dead["whole"]})
	if err := os.Remove(packWith(t, s.Store, s.dead["whole"][:1000])); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), "begin again") {
		t.Errorf("got error %v, want one that matches ErrNotFound and says what to do", err)
	}
	packs := len(files(t, s.Store, "packs"))
	err = s.collectAt(t, "marked", func() {
		for _, path := range files(t, s.Store, "index") {
			data, err := os.ReadFile(path)
			name := filepath.Base(path) // random: any beginning may be its own
			other := "0d" + name[2:]
			if other == name {
				other = "0e" + name[2:]
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(s.Path(), "index", other), data, 0o600)
			}
			if err = errors.Join(err, os.Remove(path)); err != nil {
				t.Error(err)
			}
		}
	})
	if !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), "run gc again") {
		t.Errorf("got error %v, want one that says that the store has changed", err)
	}
	wantFiles(t, s.Store, "packs", packs)
	s.check(t, "after a gc that has failed")
	gc(t, s.Store)
	s.check(t, "after gc")
}

// A publication that cannot end leaves its packs to gc, which may have found a needed
// block in one of them: the index was damaged, and gc reads the packs.
func TestFailedPublicationWhileGCReadsPacks(t *testing.T) {
	s := newStage(t)
	for _, path := range files(t, s.Store, "index") {
		flip(t, path, 10)
	}
	content := slices.Collect(maps.Values(s.kept))[0]
	fail := false
	packstore.FailSync(t, func(path string) error {
		if fail && filepath.Base(path) == "roots" {
			return errors.New("the disk is away")
		}
		return nil
	})
	c := open(t, s.Path())
	other := open(t, s.Path())
	for _, point := range []string{"index listed", "packs listed"} {
		failed := false
		packstore.SetHook(c, func(at string) {
			if at != "gc: "+point || failed {
				return
			}
			fail, failed = true, true
			if _, err := storetest.TryPublish(t.Context(), other, content); err == nil {
				t.Error("the publication has not failed")
			}
			fail = false
		})
		if _, err := c.GC(t.Context(), packstore.GCOptions{}); err != nil || !failed {
			t.Error(err, failed)
		}
		s.check(t, point)
	}
	gc(t, s.Store)
	s.check(t, "after gc")
}
