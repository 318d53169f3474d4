package testlayout

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/hamt"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// ShardBomb puts a sharded directory of few blocks that leads to 256^depth shards
// and to no entry.
func ShardBomb(t testing.TB, put ipfs.Putter, depth int) cid.Cid {
	t.Helper()
	shard := func(children int, child cid.Cid) cid.Cid {
		data, err := unixfs.HAMTShardData(bytes.Repeat([]byte{0xff}, children/8), 256, hamt.HashMurmur3)
		if err != nil {
			t.Fatal(err)
		}
		n := merkledag.NodeWithData(data)
		n.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256})
		for i := range children {
			if err := n.AddRawLink(fmt.Sprintf("%02X", i), &ipld.Link{Cid: child, Size: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := put.Put(context.Background(), n.Cid(), n.RawData()); err != nil {
			t.Fatal(err)
		}
		return n.Cid()
	}
	c := shard(0, cid.Undef)
	for range depth {
		c = shard(256, c)
	}
	return c
}

// Dir puts a directory of what is there already.
func Dir(t testing.TB, put ipfs.Putter, entries map[string]cid.Cid) cid.Cid {
	t.Helper()
	links := map[string]ipfs.Link{}
	for name, c := range entries {
		links[name] = ipfs.Link{CID: c}
	}
	dir, err := ipfs.AddDirectory(context.Background(), put, links)
	if err != nil {
		t.Fatal(err)
	}
	return dir.CID
}
