package testlayout

import (
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Part is a child of a file and how many bytes of it its parent claims.
type Part struct {
	CID  cid.Cid
	Size int
}

// File puts the node of a UnixFS file that has these parts, whether or not they
// make sense.
func File(t testing.TB, to ipfs.Putter, parts ...Part) cid.Cid {
	t.Helper()
	fs, node := unixfs.NewFSNode(unixfs.TFile), new(merkledag.ProtoNode)
	if err := node.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		fs.AddBlockSize(uint64(p.Size))
		if err := node.AddRawLink("", &ipld.Link{Cid: p.CID, Size: uint64(p.Size)}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := fs.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	node.SetData(data)
	if err := to.Put(t.Context(), node.Cid(), node.RawData()); err != nil {
		t.Fatal(err)
	}
	return node.Cid()
}
