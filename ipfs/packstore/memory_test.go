package packstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// learn publishes a file of three blocks and lets the store remember it.
func learn(t testing.TB, s *packstore.Store, key string) (cid.Cid, ipfs.Known) {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leaves, builder := make([]cid.Cid, 3), cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}
	for i := range leaves {
		data := storetest.Random(1000, key+string(rune('a'+i)))
		leaves[i], err = builder.Sum(data)
		if err == nil {
			err = tx.Put(t.Context(), leaves[i], data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file := fileOf(t, tx, leaves, 1000)
	k := ipfs.Known{Link: ipfs.Link{CID: file, Size: 3000, DAG: 3200}, Digest: digest.FromString(key)}
	tx.(ipfs.Memory).Remember(key, k)
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: file}); err != nil {
		t.Fatal(err)
	}
	return file, k
}

func recall(t testing.TB, s *packstore.Store, key string) (ipfs.Known, bool) {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	return tx.(ipfs.Memory).Recall(t.Context(), key)
}

// What is remembered comes back exactly, from another process as well; after
// garbage collection only what is kept does, or a publication would link to
// blocks that are gone.
func TestMemory(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	one, want := learn(t, s, "one")
	learn(t, s, "two")
	want.Blocks = 5 // the file is three levels deep
	if got, ok := recall(t, open(t, path), "one"); !ok || got.Digest != want.Digest || !got.CID.Equals(want.CID) || got.Size != want.Size || got.DAG != want.DAG || got.Blocks != want.Blocks {
		t.Errorf("recalled %v, %v, want %v", got, ok, want)
	}
	if _, ok := recall(t, s, "three"); ok {
		t.Error("something is known that nobody told")
	}
	remove(t, s, one)
	gc(t, s)
	if _, ok := recall(t, s, "one"); ok {
		t.Error("a file is known whose blocks were collected")
	}
	if _, ok := recall(t, s, "two"); !ok {
		t.Error("a kept file was forgotten")
	}
}

// Memory spares work only: a damaged one counts as none and is replaced.
func TestDamagedMemory(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	learn(t, s, "one")
	file := filepath.Join(path, "known")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := append([]byte{}, data...)
		bad[i] ^= 0x40
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, ok := recall(t, s, "one"); ok {
			t.Fatalf("byte %d changed, and %v is recalled", i, k)
		}
	}
	learn(t, s, "two")
	if _, ok := recall(t, s, "two"); !ok {
		t.Error("a damaged file was not replaced")
	}
}

// Blocks that vanished without gc, such as a lost pack, are not relied on.
func TestMemoryOfLostBlocks(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	learn(t, s, "one")
	for _, pack := range files(t, s, "packs") {
		if err := os.Remove(pack); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := recall(t, s, "one"); ok {
		t.Error("a file is known whose pack is gone")
	}
}
