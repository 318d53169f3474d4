package ipfs

import (
	"context"
	"fmt"
	"io"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/hamt"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/image2ipfs/image2ipfs/layer"
)

// profile fixes every parameter that decides a CID; golden CIDs made by Kubo
// hold it in the tests.
var profile = uio.UnixFS_v1_2025

// Link is a file or directory that was put on IPFS.
type Link struct {
	CID  cid.Cid
	Size int64  // bytes of the file's content; 0 for directories
	DAG  uint64 // bytes of all its blocks, counted as often as they occur (UnixFS Tsize)
}

// AddFile puts the bytes of r on IPFS. Blocks are cut by [layer.NewCutter], so
// the CID depends on the bytes alone.
func AddFile(ctx context.Context, p Putter, r io.Reader) (Link, error) {
	counted := &countingReader{r: r}
	w := newFileWriter(ctx, p)
	params := helpers.DagBuilderParams{
		Maxlinks:   profile.FileDAGWidth,
		RawLeaves:  profile.RawLeaves,
		CidBuilder: profile.CidBuilder(),
		Dagserv:    &dagWriter{ctx: ctx, p: w},
	}
	node, err := layout(params, counted)
	if failed := w.close(); failed != nil {
		err = failed
	}
	if err != nil {
		return Link{}, err
	}
	size, err := node.Size()
	if err != nil {
		return Link{}, err
	}
	return Link{CID: node.Cid(), Size: counted.n, DAG: size}, nil
}

func layout(params helpers.DagBuilderParams, r io.Reader) (ipld.Node, error) {
	builder, err := params.New(layer.NewCutter(r, int(profile.ChunkSize)))
	if err != nil {
		return nil, err
	}
	return balanced.Layout(builder)
}

// AddDirectory puts a directory of named links on IPFS. It becomes a HAMT when
// its block would exceed 256 KiB.
func AddDirectory(ctx context.Context, p Putter, entries map[string]Link) (Link, error) {
	dag := &dagWriter{ctx: ctx, p: p}
	node, err := basicDirectory(entries)
	if err == nil && len(node.RawData()) > profile.HAMTShardingSize {
		node, err = shardedDirectory(ctx, dag, entries)
	}
	if err != nil {
		return Link{}, fmt.Errorf("building directory of %d entries: %w", len(entries), err)
	}
	if err := dag.Add(ctx, node); err != nil {
		return Link{}, err
	}
	size, err := node.Size()
	if err != nil {
		return Link{}, err
	}
	return Link{CID: node.Cid(), DAG: size}, nil
}

func basicDirectory(entries map[string]Link) (ipld.Node, error) {
	node := merkledag.NodeWithData(unixfs.FolderPBData())
	if err := node.SetCidBuilder(profile.CidBuilder()); err != nil {
		return nil, err
	}
	for name, e := range entries {
		if err := node.AddRawLink(name, &ipld.Link{Cid: e.CID, Size: e.DAG}); err != nil {
			return nil, err
		}
	}
	return node, nil
}

func shardedDirectory(ctx context.Context, dag ipld.DAGService, entries map[string]Link) (ipld.Node, error) {
	shard, err := hamt.NewShard(dag, profile.HAMTShardWidth)
	if err != nil {
		return nil, err
	}
	shard.SetCidBuilder(profile.CidBuilder())
	for name, e := range entries {
		if err := shard.SetLink(ctx, name, &ipld.Link{Name: name, Cid: e.CID, Size: e.DAG}); err != nil {
			return nil, err
		}
	}
	return shard.Node()
}

// dagWriter is the write half of a DAGService over a Putter: all that boxo's
// builders use.
type dagWriter struct {
	ipld.DAGService
	ctx context.Context // boxo's builders drop the caller's context
	p   Putter
}

func (d *dagWriter) Add(_ context.Context, n ipld.Node) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	return d.p.Put(d.ctx, n.Cid(), n.RawData())
}

func (d *dagWriter) AddMany(ctx context.Context, nodes []ipld.Node) error {
	for _, n := range nodes {
		if err := d.Add(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
