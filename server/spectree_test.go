package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// tree is a DAG of every kind that the specification speaks of, and a server of it:
//
//	root/sub/small      one raw block
//	root/sub/chunked    1026 bytes in five blocks, the first four of 256 bytes each
//	root/sub/nested     1024 bytes in one block of 256 bytes that occurs four times, below two nodes that are one
//	root/many/fileN     a sharded directory
//	root/twins/a, b     one file under two names
//	root/link           a symbolic link
//	root/document       dag-cbor
type tree struct {
	*site
	t                                                 *testing.T
	blocks                                            *testlayout.Blocks
	root, sub, small, chunked, nested, many, twins    cid.Cid
	inner, repeated, link, document, lacking, missing cid.Cid
	chunks                                            []cid.Cid
	content                                           []byte // of chunked
}

func newTree(t *testing.T) *tree {
	t.Helper()
	f := &tree{t: t, blocks: testlayout.NewBlocks()}
	f.small = f.put(cid.Raw, []byte("hello"))
	for i, size := range []int{256, 256, 256, 256, 2} {
		data := bytes.Repeat([]byte{byte('a' + i)}, size)
		f.chunks, f.content = append(f.chunks, f.put(cid.Raw, data)), append(f.content, data...)
	}
	f.chunked = f.file([]uint64{256, 256, 256, 256, 2}, f.chunks...)
	f.repeated = f.put(cid.Raw, bytes.Repeat([]byte("z"), 256))
	f.inner = f.file([]uint64{256, 256}, f.repeated, f.repeated)
	f.nested = f.file([]uint64{512, 512}, f.inner, f.inner)
	f.lacking = f.file([]uint64{256, 256, 256, 256, 2}, f.chunks[0], f.absent(), f.chunks[2], f.chunks[3], f.chunks[4])
	f.sub = f.dir(map[string]cid.Cid{"small": f.small, "chunked": f.chunked, "nested": f.nested})
	f.twins = f.dir(map[string]cid.Cid{"a": f.chunked, "b": f.chunked})
	many := map[string]cid.Cid{}
	for i := range 1200 {
		many[fmt.Sprintf("file%d%s", i, strings.Repeat("x", 230))] = f.small
	}
	many["file"] = f.chunked
	f.many = f.dir(many)
	link, err := unixfs.SymlinkData("sub/small")
	if err != nil {
		t.Fatal(err)
	}
	f.link = f.put(cid.DagProtobuf, nodeBytes(t, merkledag.NodeWithData(link)))
	f.document = f.put(cid.DagCBOR, []byte{0xa0})
	f.root = f.dir(map[string]cid.Cid{"sub": f.sub, "many": f.many, "twins": f.twins, "link": f.link, "document": f.document})
	f.missing = f.absent()
	f.site = start(t, Config{Local: f.blocks})
	return f
}

func nodeBytes(t *testing.T, node *merkledag.ProtoNode) []byte {
	t.Helper()
	data, err := node.EncodeProtobuf(false)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (f *tree) sum(codec uint64, data []byte) cid.Cid {
	f.t.Helper()
	c, err := cid.V1Builder{Codec: codec, MhType: multihash.SHA2_256}.Sum(data)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *tree) put(codec uint64, data []byte) cid.Cid {
	f.t.Helper()
	c := f.sum(codec, data)
	if err := f.blocks.Put(context.Background(), c, data); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// absent is the CID of a block that is not there.
func (f *tree) absent() cid.Cid { return f.sum(cid.Raw, []byte("absent")) }

// file makes a node of a file.
func (f *tree) file(sizes []uint64, parts ...cid.Cid) cid.Cid {
	f.t.Helper()
	fs, node := unixfs.NewFSNode(unixfs.TFile), &merkledag.ProtoNode{}
	for i, c := range parts {
		fs.AddBlockSize(sizes[i])
		if err := node.AddRawLink("", &ipld.Link{Cid: c, Size: sizes[i]}); err != nil {
			f.t.Fatal(err)
		}
	}
	data, err := fs.GetBytes()
	if err != nil {
		f.t.Fatal(err)
	}
	node.SetData(data)
	return f.put(cid.DagProtobuf, nodeBytes(f.t, node))
}

func (f *tree) dir(entries map[string]cid.Cid) cid.Cid {
	f.t.Helper()
	links := map[string]ipfs.Link{}
	for name, c := range entries {
		links[name] = ipfs.Link{CID: c, DAG: 1}
	}
	made, err := ipfs.AddDirectory(context.Background(), f.blocks, links)
	if err != nil {
		f.t.Fatal(err)
	}
	return made.CID
}

// car gets a CAR and gives its blocks in their order, each checked.
func (f *tree) car(path, query string) []cid.Cid {
	f.t.Helper()
	got := f.both(path+"?format=car"+query).expect(f.t, http.StatusOK, "")
	return f.blocksOf(got)
}

func (f *tree) blocksOf(got reply) (all []cid.Cid) {
	f.t.Helper()
	err := car.Read(bufio.NewReader(bytes.NewReader(got.body)), func(c cid.Cid, _ []byte) error {
		all = append(all, c)
		return nil
	})
	if err != nil {
		f.t.Fatalf("%s: %v", got.Request.URL, err)
	}
	return all
}

// same compares the blocks of a CAR.
func (f *tree) same(what string, got []cid.Cid, want ...cid.Cid) {
	f.t.Helper()
	if !slices.Equal(got, want) {
		f.t.Errorf("%s: %d blocks %v, want %d %v", what, len(got), got, len(want), want)
	}
}

func at(c cid.Cid, rest string) string { return "/ipfs/" + c.String() + rest }
