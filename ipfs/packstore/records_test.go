package packstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

func TestRecords(t *testing.T) {
	storetest.RunRecords(t, func(t *testing.T) ipfs.Recorder { return open(t, newPath(t)) })
}

// What was pushed and is needed must outlive every gc; what was forgotten, or whose
// time is over, makes room.
func TestGCKeepsRecords(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	record := func(name string) ipfs.Record {
		return ipfs.Record{Key: ipfs.Key{Kind: "blob", Space: "app", Name: name}}
	}
	kept, forgotten, over := record("kept"), record("forgotten"), record("over")
	over.Until = time.Now().Add(-time.Minute)
	files := map[string][]byte{"f": storetest.Random(2<<20, "kept")}
	c := storetest.Keep(t, s, files, kept)
	storetest.Keep(t, s, map[string][]byte{"f": storetest.Random(2<<20, "forgotten")}, forgotten)
	storetest.Keep(t, s, map[string][]byte{"f": storetest.Random(2<<20, "over")}, over)
	unlock, err := s.LockSpace(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	dry, err := s.GC(t.Context(), packstore.GCOptions{DryRun: true})
	if err != nil || dry.RemovedBytes < 2<<20 || dry.RemovedBytes >= 4<<20 || len(recordFiles(t, s)) != 3 {
		t.Errorf("dry run: %+v, %v; %d records are left", dry, err, len(recordFiles(t, s)))
	}
	if err := s.Forget(t.Context(), forgotten.Key); err != nil {
		t.Fatal(err)
	}
	if stats := gc(t, s); stats.RemovedBytes < 4<<20 {
		t.Errorf("%d bytes were removed, want those of what is forgotten and of what is over", stats.RemovedBytes)
	}
	storetest.Check(t, s, c, files)
	if left := recordFiles(t, s); len(left) != 1 {
		t.Errorf("%d records are left, want one: %q", len(left), left)
	}
}

// The path of a store may look like a pattern: its records must be found all the same.
func TestGCKeepsRecordsWhateverThePath(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t)+"[a]")
	files := map[string][]byte{"f": storetest.Random(2<<20, "kept")}
	c := storetest.Keep(t, s, files, ipfs.Record{Key: ipfs.Key{Kind: "blob", Space: "app", Name: "kept"}})
	gc(t, s)
	storetest.Check(t, s, c, files)
}

// A damaged record must not pass for none: what it kept would be collected.
func TestDamagedPushRecord(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	k := ipfs.Key{Kind: "tag", Space: "app", Name: "1"}
	storetest.Keep(t, s, map[string][]byte{"f": storetest.Random(100, "damaged")}, ipfs.Record{Key: k})
	for _, text := range []string{"", "{}", "{\"cid\""} {
		if err := os.WriteFile(recordFiles(t, s)[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Record(t.Context(), k); !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("%q: %v, want ErrCorrupt", text, err)
		}
		if _, err := s.Records(t.Context(), k.Kind, k.Space); !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("listing %q: %v, want ErrCorrupt", text, err)
		}
		if _, err := s.GC(t.Context(), packstore.GCOptions{}); !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("gc beside %q: %v, want ErrCorrupt", text, err)
		}
	}
}

func recordFiles(t *testing.T, s *packstore.Store) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Path(), "records", "*", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
