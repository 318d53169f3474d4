package packstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	carv2 "github.com/ipld/go-car/v2"
	carstore "github.com/ipld/go-car/v2/blockstore"

	blocks "github.com/ipfs/go-block-format"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// workload is a file of blocks, hashed beforehand, since the store does not.
type workload struct {
	name   string
	count  int
	size   int
	leaves []cid.Cid
	data   []byte
}

var workloads = []*workload{
	{name: "1GiB_in_1024", count: 1024, size: 1 << 20},
	{name: "123MB_in_4485", count: 4485, size: 27424},
}

func (w *workload) prepare(b *testing.B) {
	if w.data == nil {
		w.data = make([]byte, w.count*w.size)
		rand.NewChaCha8([32]byte{byte(w.count)}).Read(w.data)
		for i := range w.count {
			c, err := cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}.Sum(w.block(i))
			if err != nil {
				b.Fatal(err)
			}
			w.leaves = append(w.leaves, c)
		}
	}
	b.SetBytes(int64(len(w.data)))
}

func (w *workload) block(i int) []byte { return w.data[i*w.size:][:w.size] }

func each(b *testing.B, run func(b *testing.B, w *workload)) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) { w.prepare(b); run(b, w) })
	}
}

func (w *workload) publish(b *testing.B, s *packstore.Store) {
	tx, err := s.Begin(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for i, c := range w.leaves {
		if err := tx.Put(b.Context(), c, w.block(i)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := tx.Commit(b.Context(), ipfs.Root{CID: w.leaves[0]}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPublish writes hashed blocks until they are safe on disk.
func BenchmarkPublish(b *testing.B) {
	each(b, func(b *testing.B, w *workload) {
		for b.Loop() {
			b.StopTimer()
			s := open(b, b.TempDir()+"/store")
			b.StartTimer()
			w.publish(b, s)
			b.StopTimer()
			os.RemoveAll(s.Path())
			b.StartTimer()
		}
	})
}

// BenchmarkPublishAgain finds that all blocks are there, in a store of 200 images.
func BenchmarkPublishAgain(b *testing.B) {
	each(b, func(b *testing.B, w *workload) {
		s := open(b, b.TempDir()+"/store")
		w.publish(b, s)
		for range 200 {
			publishRandom(b, s, 20)
		}
		for b.Loop() {
			w.publish(b, s)
		}
	})
}

// BenchmarkPublishAgainLargeIndex finds that all blocks are there by an index that is not
// kept in memory.
func BenchmarkPublishAgainLargeIndex(b *testing.B) {
	w := &workload{count: 65536, size: 32}
	w.prepare(b)
	s := open(b, b.TempDir()+"/store")
	w.publish(b, s)
	for b.Loop() {
		w.publish(b, s)
	}
}

// publishRandom publishes n random blocks.
func publishRandom(t testing.TB, s *packstore.Store, n int) cid.Cid {
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var c cid.Cid
	for range n {
		data := make([]byte, 32)
		for i := range data {
			data[i] = byte(rand.Uint32())
		}
		if c, err = (cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}).Sum(data); err == nil {
			err = tx.Put(t.Context(), c, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: c}); err != nil {
		t.Fatal(err)
	}
	return c
}

// BenchmarkReadFile reads through the UnixFS reader, page cache warm.
func BenchmarkReadFile(b *testing.B) {
	each(b, func(b *testing.B, w *workload) {
		s := open(b, b.TempDir()+"/store")
		tx, err := s.Begin(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		link := addBlocks(b, tx, w)
		if _, err := tx.Commit(b.Context(), ipfs.Root{CID: link}); err != nil {
			b.Fatal(err)
		}
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer null.Close()
		for b.Loop() {
			f, err := ipfs.OpenFile(b.Context(), s, link, 0)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := f.WriteTo(null); err != nil || n != int64(len(w.data)) {
				b.Fatal(n, err)
			}
			f.Close()
		}
	})
}

// BenchmarkView reads the same blocks without allocation.
func BenchmarkView(b *testing.B) {
	each(b, func(b *testing.B, w *workload) {
		s := open(b, b.TempDir()+"/store")
		w.publish(b, s)
		for b.Loop() {
			for _, c := range w.leaves {
				if err := s.View(b.Context(), c, func([]byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkOpen opens a store of 1,000 images and reads a block.
func BenchmarkOpen(b *testing.B) {
	path := b.TempDir() + "/store"
	s := open(b, path)
	var c cid.Cid
	for range 1000 {
		c = publishRandom(b, s, 500)
	}
	for b.Loop() {
		s, err := packstore.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Get(b.Context(), c); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(len(files(b, s, "index"))), "segments")
}

// BenchmarkAbsent looks for a block that is not there, which lists the index anew.
func BenchmarkAbsent(b *testing.B) {
	s := open(b, b.TempDir()+"/store")
	for range 20 {
		publishRandom(b, s, 500)
	}
	c := (cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256})
	absent, err := c.Sum([]byte("absent"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Get(b.Context(), absent); !errors.Is(err, ipfs.ErrNotFound) {
			b.Fatal(err)
		}
	}
}

// addBlocks makes a UnixFS file that has the workload's blocks as leaves.
func addBlocks(b *testing.B, p ipfs.Putter, w *workload) cid.Cid {
	if w.size == 1<<20 {
		link, err := ipfs.AddFile(b.Context(), p, bytes.NewReader(w.data))
		if err != nil {
			b.Fatal(err)
		}
		return link.CID
	}
	for i, c := range w.leaves {
		if err := p.Put(b.Context(), c, w.block(i)); err != nil {
			b.Fatal(err)
		}
	}
	return fileOf(b, p, w.leaves, w.size)
}

// BenchmarkGoCar is go-car's own read-write store with an index, and an fsync at the end.
func BenchmarkGoCar(b *testing.B) {
	each(b, func(b *testing.B, w *workload) {
		path := b.TempDir() + "/blocks.car"
		ctx := context.Background()
		write := func(b *testing.B) {
			rw, err := carstore.OpenReadWrite(path, w.leaves[:1], carv2.UseWholeCIDs(false))
			if err != nil {
				b.Fatal(err)
			}
			for i, c := range w.leaves {
				blk, _ := blocks.NewBlockWithCid(w.block(i), c)
				if err := rw.Put(ctx, blk); err != nil {
					b.Fatal(err)
				}
			}
			if err := rw.Finalize(); err != nil {
				b.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				b.Fatal(err)
			}
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				b.Fatal(err)
			}
		}
		b.Run("write", func(b *testing.B) {
			b.SetBytes(int64(len(w.data)))
			for b.Loop() {
				os.Remove(path)
				write(b)
			}
		})
		b.Run("read", func(b *testing.B) {
			b.SetBytes(int64(len(w.data)))
			ro, err := carstore.OpenReadOnly(path)
			if err != nil {
				b.Fatal(err)
			}
			defer ro.Close()
			for b.Loop() {
				for _, c := range w.leaves {
					blk, err := ro.Get(ctx, c)
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Discard.Write(blk.RawData())
				}
			}
		})
	})
}
