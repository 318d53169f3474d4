package packstore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// flip inverts a bit of a file, counted from the end when off is negative.
func flip(t testing.TB, path string, off int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if off < 0 {
		off += len(data)
	}
	data[off] ^= 4
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// heal puts one block right.
func heal(t testing.TB, s *packstore.Store, c cid.Cid, data []byte) error {
	t.Helper()
	roots, err := s.Roots(t.Context())
	if err != nil || len(roots) == 0 {
		t.Fatalf("%d roots: %v", len(roots), err)
	}
	h, err := s.Heal(t.Context(), roots[0].CID)
	if err != nil {
		t.Fatal(err)
	}
	return errors.Join(h.Put(t.Context(), c, data), h.Close())
}

// A damaged index must not read as absence, and gc must repair it.
func TestDamagedIndex(t *testing.T) {
	for _, off := range []int{0, 70, -40, -20, -1} {
		path := newPath(t)
		s := open(t, path)
		content := map[string][]byte{"f": storetest.Random(3<<20, "index")}
		c, _ := storetest.Publish(t, s, content)
		flip(t, wantFiles(t, s, "index", 1)[0], off)

		s = open(t, path)
		_, err := s.Get(t.Context(), c)
		if !errors.Is(err, ipfs.ErrCorrupt) || errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), "image2ipfs gc") {
			t.Errorf("bit flipped at %d: got error %v, want one that matches ErrCorrupt and says what to do", off, err)
		}
		gc(t, s)
		storetest.Check(t, s, c, content)
		storetest.Check(t, open(t, path), c, content)
	}
}

// What the index has lost is still in the packs, where gc must find it.
func TestMissingIndex(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(3<<20, "index")}
	c, _ := storetest.Publish(t, s, content)
	if err := os.Remove(wantFiles(t, s, "index", 1)[0]); err != nil {
		t.Fatal(err)
	}
	gc(t, s)
	storetest.Check(t, s, c, content)
}

// A flipped bit in a block must be found by reading with hashes, and healed.
func TestDamagedBlock(t *testing.T) {
	s := open(t, newPath(t))
	data := storetest.Random(1000, "block")
	c, _ := storetest.Publish(t, s, map[string][]byte{"f": data})
	leaf, err := ipfs.Resolve(t.Context(), s, c, "f")
	if err != nil {
		t.Fatal(err)
	}
	pack := wantFiles(t, s, "packs", 1)[0]
	for _, off := range []int{59, 61, 80, 500} { // length, CID version, digest, data
		flip(t, pack, off)
		if _, err := ipfs.Verified(s).Get(t.Context(), leaf); !errors.Is(err, ipfs.ErrCorrupt) || !strings.Contains(err.Error(), leaf.String()) {
			t.Errorf("bit flipped at %d: got error %v, want one that matches ErrCorrupt and names %s", off, err, leaf)
		}
		if err := heal(t, s, leaf, []byte("wrong")); !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("healing with wrong bytes: %v", err)
		}
		if err := heal(t, s, leaf, data); err != nil {
			t.Fatal(err)
		}
		storetest.Check(t, s, c, map[string][]byte{"f": data})
	}
	wantFiles(t, s, "packs", 1)
}

// When a pack is lost, its blocks are missing (and another source may be
// asked), gc refuses to guess, and healing or publishing again brings them back.
func TestMissingPack(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(3<<20, "lost pack")}
	c, _ := storetest.Publish(t, s, content)
	pack := wantFiles(t, s, "packs", 1)[0]
	if err := os.Remove(pack); err != nil {
		t.Fatal(err)
	}
	s = open(t, s.Path())
	if _, err := s.Get(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), pack) {
		t.Errorf("got error %v, want one that matches ErrNotFound and names %s", err, pack)
	}
	if _, err := s.GC(t.Context(), packstore.GCOptions{}); !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), c.String()) {
		t.Errorf("gc: got error %v, want one that matches ErrNotFound and names %s", err, c)
	}
	storetest.Publish(t, s, content)
	storetest.Check(t, s, c, content)
	gc(t, s)
	storetest.Check(t, s, c, content)
}

// What was only pulled through is not for the store to have.
func TestHealWhatIsKept(t *testing.T) {
	s := open(t, newPath(t))
	c, _ := storetest.RawBlock(t, 100, "elsewhere")
	if h, err := s.Heal(t.Context(), c); h != nil || !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), c.String()) {
		t.Errorf("%v, want ErrNotFound that names %s", err, c)
	}
}

// Blocks of a lost pack that another source has come back, in one pack.
func TestHealMissingPack(t *testing.T) {
	s, source := open(t, newPath(t)), open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(5<<20, "heal"), "g": storetest.Random(100, "g")}
	c, _ := storetest.Publish(t, s, content)
	storetest.Publish(t, source, content)
	if err := os.Remove(wantFiles(t, s, "packs", 1)[0]); err != nil {
		t.Fatal(err)
	}
	s = open(t, s.Path())
	h, err := s.Heal(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := ipfs.Copy(t.Context(), source, h, c); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s, "packs", 1)
	storetest.Check(t, s, c, content)
	gc(t, s)
	storetest.Check(t, open(t, s.Path()), c, content)
}

// A pack that was cut short is damaged, not unreadable: it can be healed.
func TestTruncatedPack(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(3<<20, "cut")}
	c, _ := storetest.Publish(t, s, content)
	if err := os.Truncate(wantFiles(t, s, "packs", 1)[0], 1<<20+100); err != nil {
		t.Fatal(err)
	}
	f, err := ipfs.Resolve(t.Context(), s, c, "f")
	if !errors.Is(err, ipfs.ErrCorrupt) || errors.Is(err, io.EOF) {
		t.Errorf("got %s and error %v, want one that matches ErrCorrupt", f, err)
	}
}

// An index entry that a flipped bit sends elsewhere must not lead healing to
// write over the block there.
func TestHealWrongEntry(t *testing.T) {
	s := open(t, newPath(t))
	cids, _ := publishMany(t, s)
	flip(t, wantFiles(t, s, "index", 1)[0], 33) // the first entry's offset
	s = open(t, s.Path())
	before, err := os.ReadFile(wantFiles(t, s, "packs", 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for n, c := range cids {
		if _, err := s.Get(t.Context(), c); err == nil {
			continue
		}
		wrong++
		if err := heal(t, s, c, binary.BigEndian.AppendUint64(nil, uint64(n))); !errors.Is(err, ipfs.ErrCorrupt) || !strings.Contains(err.Error(), "image2ipfs gc") {
			t.Errorf("healing by a damaged index: %v", err)
		}
	}
	after, err := os.ReadFile(wantFiles(t, s, "packs", 1)[0])
	if err != nil || !bytes.Equal(before, after) || wrong != 1 {
		t.Errorf("%d blocks could not be read (want 1), the pack is as before: %v (%v)", wrong, bytes.Equal(before, after), err)
	}
}

// publishMany publishes a file of so many blocks that an index of them is not read as a
// whole when it is opened.
func publishMany(t *testing.T, s *packstore.Store) (leaves []cid.Cid, stats ipfs.Stats) {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	for n := range 25000 {
		leaves = append(leaves, putRaw(t, tx, binary.BigEndian.AppendUint64(nil, uint64(n))))
	}
	if stats, err = tx.Commit(t.Context(), ipfs.Root{CID: fileOf(t, tx, leaves, 8)}); err != nil {
		t.Fatal(err)
	}
	return leaves, stats
}

// A publication over a large index that a flipped bit sends astray is whole, too, and
// over one that is right it writes nothing.
func TestPublishByWrongEntry(t *testing.T) {
	s := open(t, newPath(t))
	leaves, _ := publishMany(t, s)
	if _, stats := publishMany(t, s); stats != (ipfs.Stats{}) {
		t.Errorf("the second time there was something to do: %+v", stats)
	}
	index := wantFiles(t, s, "index", 1)[0]
	for _, off := range []int{33, 40, -2000} { // an offset, a length, one of the last entries
		flip(t, index, off)
	}
	s = open(t, s.Path())
	if _, stats := publishMany(t, s); stats.NewBlocks == 0 {
		t.Errorf("nothing was put right: %+v", stats)
	}
	for n, c := range leaves {
		if data, err := s.Get(t.Context(), c); err != nil || !bytes.Equal(data, binary.BigEndian.AppendUint64(nil, uint64(n))) {
			t.Fatalf("block %d of a publication that said success: %x (%v)", n, data, err)
		}
	}
}

func putRaw(t testing.TB, p ipfs.Putter, data []byte) cid.Cid {
	t.Helper()
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}.Sum(data)
	if err == nil {
		err = p.Put(t.Context(), c, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDamagedRecord(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": {1}}
	c, _ := storetest.Publish(t, s, content)
	other, _ := storetest.Publish(t, s, map[string][]byte{"f": {2}})
	record := s.Path() + "/roots/" + c.String() + ".json"
	if err := os.WriteFile(record, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := s.Roots(t.Context())
	if !errors.Is(err, ipfs.ErrCorrupt) || !strings.Contains(err.Error(), record) {
		t.Errorf("got error %v, want one that matches ErrCorrupt and names %s", err, record)
	}
	if len(roots) != 1 || !roots[0].CID.Equals(other) {
		t.Errorf("the undamaged roots are %v", roots)
	}
	gc(t, s)
	storetest.Check(t, s, c, content)
	storetest.Publish(t, s, content)
	if _, err := s.Roots(t.Context()); err != nil {
		t.Errorf("after publishing again: %v", err)
	}
}

// The same bytes may be a leaf of one image and a directory of another: gc must
// follow the links although it has seen the block as a leaf.
func TestBlockThatIsLeafAndNode(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(1000, "leaf and node")}
	dir, _ := storetest.Publish(t, s, content)
	node, err := s.Get(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	leaf := cid.NewCidV1(cid.Raw, dir.Hash())
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Put(t.Context(), leaf, node); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: leaf}); err != nil {
		t.Fatal(err)
	}
	gc(t, s)
	storetest.Check(t, s, dir, content)
}
