package kubo

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// recorder passes blocks on and remembers them.
type recorder struct {
	ipfs.Putter
	cids []cid.Cid
}

func (r *recorder) Put(ctx context.Context, c cid.Cid, data []byte) error {
	r.cids = append(r.cids, c)
	return r.Putter.Put(ctx, c, data)
}

// numbered is a file of n blocks, no two equal.
func numbered(n int) string {
	b := make([]byte, n<<20)
	for i := range n {
		binary.BigEndian.PutUint64(b[i<<20:], uint64(i)+1)
	}
	return string(b)
}

// What --json says of an update's size must be what it took.
func TestCounting(t *testing.T) {
	e := startKubo(t).store(t).Counting()
	first, _ := storetest.Publish(t, e, map[string][]byte{"f": []byte(numbered(5))})
	second, stats := storetest.Publish(t, e, map[string][]byte{"f": []byte(numbered(7))})
	if first.Equals(second) {
		t.Fatal("both are one")
	}
	const nodes = 2 // of the file and of the directory
	if added := stats.NewBytes - 2<<20; stats.NewBlocks != 2+nodes || added <= 0 || added > 1000 {
		t.Errorf("two more blocks of 1 MiB and %d nodes are %+v", nodes, stats)
	}
}

// An image published while Kubo collects garbage would lack blocks, which
// shows only when somebody pulls it.
func TestGarbageCollectionDuringImport(t *testing.T) {
	d := startKubo(t)
	e := d.store(t)
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	rec := &recorder{Putter: tx}
	file, err := ipfs.AddFile(t.Context(), rec, strings.NewReader(numbered(150)))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "Kubo has stored the first blocks", func() bool {
		_, err := e.Get(t.Context(), rec.cids[0])
		return err == nil
	})
	gc := make(chan error, 1)
	go func() {
		_, err := d.try("repo", "gc", "--quiet")
		gc <- err
	}()
	select {
	case err := <-gc:
		t.Fatalf("gc has run (%v) although an import was open", err)
	case <-time.After(2 * time.Second):
	}
	if _, err := e.Get(t.Context(), rec.cids[0]); err != nil {
		t.Errorf("reading while gc waits: %v", err)
	}
	dir, err := ipfs.AddDirectory(t.Context(), rec, map[string]ipfs.Link{"file": file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: dir.CID, Names: []string{"app:1"}}); err != nil {
		t.Fatal(err)
	}
	if err := <-gc; err != nil {
		t.Fatal(err)
	}
	d.ipfs(t, "repo", "gc", "--quiet")
	for _, c := range rec.cids {
		if _, err := e.Get(t.Context(), c); err != nil {
			t.Fatalf("lost after gc: %v", err)
		}
	}
	if got := d.pins(t); got != dir.CID.String()+" recursive image2ipfs:app:1\n" {
		t.Errorf("Kubo pins %q", got)
	}
}

// An interrupted publication must not fill the disk for ever.
func TestAbortLeavesNoPin(t *testing.T) {
	d := startKubo(t)
	e := d.store(t)
	ends := map[string]func(ipfs.Tx, context.CancelFunc) error{
		"Abort":   func(tx ipfs.Tx, _ context.CancelFunc) error { return tx.Abort() },
		"context": func(_ ipfs.Tx, cancel context.CancelFunc) error { cancel(); return nil },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tx, err := e.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			rec := &recorder{Putter: tx}
			root := putTree(t, rec, numbered(150))
			if err := end(tx, cancel); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root.CID}); err == nil {
				t.Error("Commit of an ended publication gives no error")
			} else {
				t.Log(err)
			}
			if err := tx.Abort(); err != nil {
				t.Errorf("aborting again: %v", err)
			}
			if got := d.pins(t); got != "" {
				t.Errorf("Kubo pins %s", got)
			}
			d.ipfs(t, "repo", "gc", "--quiet")
			for _, c := range rec.cids {
				if _, err := e.Get(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
					t.Fatalf("block %s after gc: %v, want ErrNotFound", c, err)
				}
			}
		})
	}
}

// What cannot be right must be refused, and say why.
func TestImportRefused(t *testing.T) {
	d := startKubo(t)
	good := []byte("good")
	for _, tc := range []struct {
		name string
		put  func(ipfs.Tx) (cid.Cid, error)
		want string
	}{
		{"bytes that are not the CID's", func(tx ipfs.Tx) (cid.Cid, error) {
			c := rawCID(t, good)
			return c, tx.Put(t.Context(), c, []byte("evil"))
		}, "mismatch in content integrity"},
		{"a block above 2 MiB", func(tx ipfs.Tx) (cid.Cid, error) {
			big := make([]byte, 2<<20+1)
			c := rawCID(t, big)
			return c, tx.Put(t.Context(), c, big)
		}, "2 MiB"},
		{"a root without its blocks", func(tx ipfs.Tx) (cid.Cid, error) {
			asTx(tx).e.pinTime = func(int64) time.Duration { return time.Second }
			var root recorder
			root.Putter = nowhere{}
			putTree(t, &root, "child")
			c := root.cids[len(root.cids)-1]
			return c, tx.Put(t.Context(), c, lastBlock)
		}, "blocks may be missing"},
		{"no root", func(ipfs.Tx) (cid.Cid, error) { return rawCID(t, good), nil }, "could not pin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tx, err := d.store(t).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Abort()
			c, err := tc.put(tx)
			if err == nil {
				_, err = tx.Commit(t.Context(), ipfs.Root{CID: c})
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
			t.Log(err)
			if got := d.pins(t); got != "" {
				t.Errorf("Kubo pins %s", got)
			}
		})
	}
}

func asTx(t ipfs.Tx) *tx { return t.(*tx) }

// nowhere keeps only the last block.
type nowhere struct{}

var lastBlock []byte

func (nowhere) Put(_ context.Context, _ cid.Cid, data []byte) error {
	lastBlock = append([]byte(nil), data...)
	return nil
}

// A layer that is stored both ways must leave only one of them.
func TestBranch(t *testing.T) {
	d := startKubo(t)
	e := d.store(t)
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	kept, err := tx.Branch()
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := tx.Branch()
	if err != nil {
		t.Fatal(err)
	}
	a, b := []byte("kept"), []byte("dropped")
	if err := errors.Join(kept.Put(t.Context(), rawCID(t, a), a), dropped.Put(t.Context(), rawCID(t, b), b), dropped.Drop()); err != nil {
		t.Fatal(err)
	}
	if err := dropped.Put(t.Context(), rawCID(t, b), b); err == nil {
		t.Error("a dropped branch takes blocks")
	}
	root, err := ipfs.AddDirectory(t.Context(), tx, map[string]ipfs.Link{"a": {CID: rawCID(t, a), Size: 4, DAG: 4}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root.CID}); err != nil {
		t.Fatal(err)
	}
	d.ipfs(t, "repo", "gc", "--quiet")
	if _, err := e.Get(t.Context(), rawCID(t, a)); err != nil {
		t.Error(err)
	}
	if _, err := e.Get(t.Context(), rawCID(t, b)); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("the dropped block after gc: %v, want ErrNotFound", err)
	}
}

// Kubo may crash; the publisher must say so and not hang.
func TestDaemonDiesDuringImport(t *testing.T) {
	d := startKubo(t)
	e := d.store(t)
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	root := putTree(t, tx, "content")
	d.kill()
	_, err = tx.Commit(t.Context(), ipfs.Root{CID: root.CID})
	if !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("Commit: %v, want ErrUnavailable", err)
	}
	t.Log(err)
}

// Kubo may be restarted in the middle of a publication: that one fails whole,
// nothing of it stays pinned, and the same connection publishes again.
func TestDaemonRestartsDuringImport(t *testing.T) {
	d := startKubo(t)
	d.ipfs(t, "config", "Addresses.API", d.api) // the port of now
	e := d.store(t)
	kept, _ := publish(t, e, "before", "kept:1")
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	root := putTree(t, tx, "first half")
	d.restart(t)
	if _, err := ipfs.AddFile(t.Context(), tx, strings.NewReader("second half")); err == nil {
		_, err = tx.Commit(t.Context(), ipfs.Root{CID: root.CID, Names: []string{"lost:1"}})
		if !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("Commit: %v, want ErrUnavailable", err)
		}
	} else if !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("Put: %v, want ErrUnavailable", err)
	}
	if err := tx.Abort(); err != nil {
		t.Errorf("Abort: %v", err)
	}
	if pins := d.pins(t); !strings.Contains(pins, kept.CID.String()) || strings.Contains(pins, root.CID.String()) || strings.Contains(pins, "lost") {
		t.Errorf("pins after the restart:\n%s", pins)
	}
	again, _ := publish(t, e, "first half", "again:1")
	if !again.CID.Equals(root.CID) || !strings.Contains(d.pins(t), again.CID.String()) {
		t.Errorf("published again: %s, pins\n%s", again.CID, d.pins(t))
	}
}
