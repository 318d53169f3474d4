package node_test

import (
	"context"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// fileOf makes a UnixFS file, three levels deep, of leaves of one size.
func fileOf(t testing.TB, p ipfs.Putter, leaves []cid.Cid, size int) cid.Cid {
	t.Helper()
	parent := func(children []cid.Cid, sizes []int) (cid.Cid, int) {
		fs, total := unixfs.NewFSNode(unixfs.TFile), 0
		node := new(merkledag.ProtoNode)
		if err := node.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}); err != nil {
			t.Fatal(err)
		}
		for i, c := range children {
			fs.AddBlockSize(uint64(sizes[i]))
			total += sizes[i]
			if err := node.AddRawLink("", &ipld.Link{Cid: c, Size: uint64(sizes[i])}); err != nil {
				t.Fatal(err)
			}
		}
		data, err := fs.GetBytes()
		if err != nil {
			t.Fatal(err)
		}
		node.SetData(data)
		if err := p.Put(t.Context(), node.Cid(), node.RawData()); err != nil {
			t.Fatal(err)
		}
		return node.Cid(), total
	}
	var level []cid.Cid
	var sizes []int
	for len(leaves) > 0 {
		n := min(len(leaves), 1024)
		each := make([]int, n)
		for i := range each {
			each[i] = size
		}
		c, total := parent(leaves[:n], each)
		level, sizes, leaves = append(level, c), append(sizes, total), leaves[n:]
	}
	c, _ := parent(level, sizes)
	return c
}

// blind takes directories and forgets leaves, which are elsewhere already.
type blind struct{ ipfs.Putter }

func (b blind) Put(ctx context.Context, c cid.Cid, data []byte) error {
	if c.Type() == cid.Raw {
		return nil
	}
	return b.Putter.Put(ctx, c, data)
}
