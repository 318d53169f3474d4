package packstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

const collectPath = "IMAGE2IPFS_TEST_COLLECT"

// collectOnce is what a process of its own does for otherProcess.
func collectOnce(path string) error {
	s, err := packstore.Open(path)
	if err != nil {
		return err
	}
	_, err = s.GC(context.Background(), packstore.GCOptions{})
	return errors.Join(err, s.Close())
}

// collectors are who may collect garbage while a publication is under way.
var collectors = map[string]func(t *testing.T, s *packstore.Store){
	"own":   func(t *testing.T, s *packstore.Store) { gc(t, s) },
	"other": func(t *testing.T, s *packstore.Store) { gc(t, open(t, s.Path())) },
	"process": func(t *testing.T, s *packstore.Store) {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), collectPath+"="+s.Path())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	},
}

// An upload may take hours. Garbage is collected meanwhile, and what the upload has
// brought, or has found in the store, is there at its end, also what nothing else
// needs.
func TestGCBesideAPublication(t *testing.T) {
	t.Parallel()
	for name, collect := range collectors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newPath(t))
			removed, _ := images()
			gone, _ := storetest.Publish(t, s, removed)
			other := map[string][]byte{"f": storetest.Random(2<<20, "garbage")}
			garbage, _ := storetest.Publish(t, s, other)
			remove(t, s, gone)
			remove(t, s, garbage)

			tx, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Abort()
			content := map[string][]byte{"shared": removed["shared"], "new": storetest.Random(2<<20, "new")}
			storetest.Add(t, tx, content)
			before := usage(t, s)
			for range 3 {
				collect(t, s)
			}
			if freed := before - usage(t, s); freed < 2<<20 {
				t.Errorf("%d bytes were freed while a publication was under way, want those of the other image", freed)
			}
			if stats := gc(t, s); stats.ClaimedBytes < 5<<20 || stats.RemovedBytes != 0 {
				t.Errorf("%+v, want what lies beside the shared layer as claimed", stats)
			}
			content["late"] = storetest.Random(1<<20, "late")
			root := storetest.Add(t, tx, content)
			if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
				t.Fatal(err)
			}
			storetest.Check(t, open(t, s.Path()), root, content)
			collect(t, s)
			storetest.Check(t, open(t, s.Path()), root, content)
			if left := usage(t, s); left > 7<<20 {
				t.Errorf("%d bytes are left for 6 MiB that are needed", left)
			}
			wantFiles(t, s, "tmp", 0)
		})
	}
}

// What gc takes out of the index without touching its pack is there again with a
// publication that has found it, before gc or after it.
func TestGCBesideAPublicationInTheIndex(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{true, false} {
		s := open(t, newPath(t))
		small := map[string][]byte{"small": storetest.Random(100<<10, "small")}
		big := map[string][]byte{"big": storetest.Random(4<<20, "big")}
		tx, err := s.BeginRecords(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		unneeded, needed := storetest.Add(t, tx, small), storetest.Add(t, tx, big)
		if _, err := tx.CommitRecords(t.Context(), []ipfs.Root{{CID: unneeded}, {CID: needed}}); err != nil {
			t.Fatal(err)
		}
		remove(t, s, unneeded)

		other := open(t, s.Path())
		late, err := other.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if early {
			storetest.Add(t, late, small)
		}
		gc(t, s)
		if _, err := open(t, s.Path()).Get(t.Context(), unneeded); !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("before the publication has ended: got error %v, want one that matches ErrNotFound", err)
		}
		root := storetest.Add(t, late, small)
		if _, err := late.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			storetest.Check(t, open(t, s.Path()), root, small)
			storetest.Check(t, s, needed, big)
			gc(t, s)
		}
	}
}

// A publication that links to what it has not put, and what is removed before it ends,
// must fail and not keep what is no longer whole: gc would refuse to go on after it.
func TestGCBesideALink(t *testing.T) {
	t.Parallel()
	for _, removed := range []bool{true, false} {
		s := open(t, newPath(t))
		files := map[string][]byte{"f": storetest.Random(2<<20, "linked")}
		root, _ := storetest.Publish(t, s, files)
		file, err := ipfs.Resolve(t.Context(), s, root, "f")
		if err != nil {
			t.Fatal(err)
		}
		tx, err := s.BeginRecords(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if removed {
			remove(t, s, root)
		}
		gc(t, s)
		top, err := ipfs.AddDirectory(t.Context(), tx, map[string]ipfs.Link{"again": {CID: file, Size: 2 << 20, DAG: 2 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = tx.CommitRecords(t.Context(), nil, ipfs.Record{Key: ipfs.Key{Kind: "blob", Space: "app", Name: "1"}, CID: top.CID})
		switch {
		case removed && (!errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), "begin again")):
			t.Errorf("got error %v, want one that matches ErrNotFound and says what to do", err)
		case !removed && err != nil:
			t.Error(err)
		case !removed:
			storetest.Check(t, s, top.CID, map[string][]byte{"again": files["f"]})
		}
		gc(t, s)
		if n := len(recordFiles(t, s)); (n == 0) != removed {
			t.Errorf("%d records after the root was removed: %t", n, removed)
		}
	}
}

// What killed processes left goes while others are at work.
func TestGCTellsDeadFromLiving(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	content := map[string][]byte{"f": storetest.Random(2<<20, "living")}
	root := storetest.Add(t, tx, content)
	living := len(files(t, s, "tmp"))
	for _, name := range []string{strings.Repeat("0a", 16) + ".car", strings.Repeat("0b", 16) + ".idx", "0c.json", "what else"} {
		if err := os.WriteFile(filepath.Join(s.Path(), "tmp", name), make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if stats := gc(t, s); stats.AbandonedBytes != 4000 || stats.FreedBytes != 4000 {
		t.Errorf("%+v, want 4000 bytes as abandoned", stats)
	}
	wantFiles(t, s, "tmp", living)
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
		t.Fatal(err)
	}
	storetest.Check(t, s, root, content)
	wantFiles(t, s, "tmp", 0)
}

// Hundreds of slow uploads neither keep gc from ending, nor gc them.
func TestGCBesideManyPublications(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	shared := map[string][]byte{"shared": storetest.Random(1<<20, "many")}
	gone, _ := storetest.Publish(t, s, shared)
	remove(t, s, gone)
	want := map[cid.Cid]map[string][]byte{}
	slow := map[cid.Cid]ipfs.Tx{}
	for i := range 200 {
		tx, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		content := maps.Clone(shared)
		content["own"] = storetest.Random(1000, fmt.Sprint("many", i))
		root := storetest.Add(t, tx, content)
		want[root], slow[root] = content, tx
	}
	for range 2 {
		gc(t, s)
		quick, _ := storetest.Publish(t, open(t, s.Path()), map[string][]byte{"f": storetest.Random(1<<20, "quick")})
		remove(t, s, quick)
	}
	for root, tx := range slow {
		if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
			t.Fatal(err)
		}
	}
	gc(t, s)
	for root, content := range want {
		storetest.Check(t, s, root, content)
	}
}

// slowly publishes what two gcs pass over, one after each half.
func slowly(ctx context.Context, s *packstore.Store, collected func() int64, halves ...map[string][]byte) (root cid.Cid, err error) {
	tx, err := s.Begin(ctx)
	if err != nil {
		return root, err
	}
	defer tx.Abort()
	for _, half := range halves {
		if root, err = storetest.TryAdd(ctx, tx, half); err != nil {
			return root, err
		}
		for before := collected(); collected() < before+2 && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
	}
	_, err = tx.Commit(ctx, ipfs.Root{CID: root})
	return root, err
}

// A root that was removed is found again after gc where something else needs it, or
// else is gone.
func TestRemovedRootAfterGC(t *testing.T) {
	t.Parallel()
	for _, needed := range []bool{true, false} {
		s := open(t, newPath(t))
		inner := map[string][]byte{"f": storetest.Random(100<<10, "inner")}
		root, _ := storetest.Publish(t, s, inner)
		tx, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		storetest.Add(t, tx, inner)
		outer, err := ipfs.AddDirectory(t.Context(), tx, map[string]ipfs.Link{"in": {CID: root, Size: 100 << 10, DAG: 100 << 10}})
		if err != nil {
			t.Fatal(err)
		}
		if needed {
			_, err = tx.Commit(t.Context(), ipfs.Root{CID: outer.CID})
		} else {
			err = tx.Abort()
		}
		if err != nil {
			t.Fatal(err)
		}
		remove(t, s, root)
		for _, after := range []bool{false, true} {
			if after {
				gc(t, s)
			}
			_, err := open(t, s.Path()).Get(t.Context(), root)
			if there := err == nil; there != (needed && after) {
				t.Errorf("needed %t, after gc %t: %v", needed, after, err)
			}
		}
	}
}
