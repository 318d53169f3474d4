package ipfs_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// blockMap is a store in memory.
type blockMap map[cid.Cid][]byte

func (b blockMap) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := b[c]; ok {
		return data, nil
	}
	return nil, ipfs.ErrNotFound
}

func (b blockMap) add(codec uint64, data []byte) cid.Cid {
	c, err := cid.V1Builder{Codec: codec, MhType: multihash.SHA2_256}.Sum(data)
	if err != nil {
		panic(err)
	}
	b[c] = data
	return c
}

func linkTo(c cid.Cid, size uint64) *ipld.Link { return &ipld.Link{Cid: c, Size: size} }

// FuzzBlocks reads any two blocks, of which the first may lead to the second,
// as everything that the registry reads blocks as. Hashes prove that a block is
// what was asked for, not that it makes sense.
func FuzzBlocks(f *testing.F) {
	leaf := blockMap{}.add(cid.Raw, []byte("leaf"))
	file := unixfs.NewFSNode(unixfs.TFile)
	file.AddBlockSize(4)
	data, err := file.GetBytes()
	if err != nil {
		f.Fatal(err)
	}
	node := merkledag.NodeWithData(data)
	if err := node.AddRawLink("index.json", linkTo(leaf, 4)); err != nil {
		f.Fatal(err)
	}
	f.Add(node.RawData(), []byte("leaf"))
	dir := unixfs.EmptyDirNode()
	if err := dir.AddRawLink("index.json", linkTo(leaf, 4)); err != nil {
		f.Fatal(err)
	}
	f.Add(dir.RawData(), []byte("leaf"))
	shard, err := unixfs.HAMTShardData([]byte{1}, 256, 0x22)
	if err != nil {
		f.Fatal(err)
	}
	sharded := merkledag.NodeWithData(shard)
	if err := sharded.AddRawLink("00index.json", linkTo(leaf, 4)); err != nil {
		f.Fatal(err)
	}
	f.Add(sharded.RawData(), []byte("leaf"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		b := blockMap{}
		b.add(cid.Raw, second)
		b.add(cid.DagProtobuf, second)
		root := b.add(cid.DagProtobuf, first)
		readAs(t, b, root)
	})
}

func readAs(t *testing.T, b blockMap, root cid.Cid) {
	ctx := context.Background()
	if l, err := ipfs.OpenLayout(ctx, b, root); err == nil {
		_ = l.Blobs(ctx, func(_ digest.Digest, _ cid.Cid) error { return nil })
	}
	if dir, err := ipfs.OpenDir(ctx, b, root); err == nil {
		_, _ = dir.Lookup(ctx, "index.json")
		n := 0
		_ = dir.ForEach(ctx, func(string, cid.Cid) error {
			if n++; n > 1000 {
				return errors.New("enough")
			}
			return nil
		})
	}
	_, _ = ipfs.FileSize(ctx, b, root)
	_, _ = ipfs.ReadFile(ctx, b, root, 1<<20)
	_, _ = ipfs.Resolve(ctx, b, root, "blobs/sha256/x")
	file, err := ipfs.OpenFile(ctx, b, root, 0)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	if file.Size() < 0 {
		t.Errorf("a file of %d bytes", file.Size())
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(file, 1<<20)); err == nil && n < min(file.Size(), 1<<20) {
		t.Errorf("%d bytes of a file of %d, without an error", n, file.Size())
	}
	if _, err := file.Seek(file.Size()/2, io.SeekStart); err == nil {
		_, _ = file.Read(make([]byte, 10))
	}
}
