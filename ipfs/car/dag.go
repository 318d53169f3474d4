package car

import (
	"context"
	"fmt"
	"slices"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Scope is how much of a DAG is taken along (trustless gateway specification,
// dag-scope).
type Scope string

// The scopes that there are.
const (
	All    Scope = "all"    // everything below
	Entity Scope = "entity" // the whole of a file, or what lists a directory
	Block  Scope = "block"  // its first block
)

// Valid tells whether there is such a scope.
func (s Scope) Valid() bool { return s == All || s == Entity || s == Block }

const maxDAGDepth = 128

// DAG writes the blocks of path and then the DAG under c, depth first, each block
// once, got from g. What it remembers is the hashes of the blocks, some 100 bytes
// for each MiB or less of an image. Errors are those of g and of the writer, or
// match [ipfs.ErrCorrupt] for what is no DAG of files.
func (w *Writer) DAG(ctx context.Context, g ipfs.Getter, path []cid.Cid, c cid.Cid, scope Scope) error {
	e := &export{ctx: ctx, g: g, car: w, scope: scope, sent: map[string]bool{}}
	for _, on := range path {
		data, err := g.Get(ctx, on)
		if err != nil {
			return err
		}
		if _, err := e.block(on, data); err != nil {
			return err
		}
	}
	data, err := g.Get(ctx, c)
	if err != nil {
		return err
	}
	return e.walk(c, data, 0)
}

// export is one DAG being written.
type export struct {
	ctx   context.Context
	g     ipfs.Getter
	car   *Writer
	scope Scope
	sent  map[string]bool // by multihash
}

// block writes a block that was not written yet. One whose CID holds the content
// itself (identity) needs no writing (trustless gateway specification, "CAR").
func (e *export) block(c cid.Cid, data []byte) (fresh bool, err error) {
	if c.Prefix().MhType == multihash.IDENTITY {
		return true, nil
	}
	if key := string(c.Hash()); !e.sent[key] {
		e.sent[key] = true
		return true, e.car.Block(c, data)
	}
	return false, nil
}

func (e *export) walk(c cid.Cid, data []byte, depth int) error {
	fresh, err := e.block(c, data)
	if err != nil || e.scope == Block || c.Prefix().Codec != cid.DagProtobuf || !fresh && depth > 0 {
		return err
	}
	if depth > maxDAGDepth {
		return fmt.Errorf("%w: DAG is more than %d deep", ipfs.ErrCorrupt, maxDAGDepth)
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return fmt.Errorf("%w: block %s is no dag-pb node: %v", ipfs.ErrCorrupt, c, err)
	}
	for _, link := range e.below(node) {
		if e.sent[string(link.Cid.Hash())] && link.Cid.Prefix().Codec == cid.Raw {
			continue
		}
		child, err := e.g.Get(e.ctx, link.Cid)
		if err != nil {
			return err
		}
		if err := e.walk(link.Cid, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// below are the links that the scope takes along.
func (e *export) below(node *merkledag.ProtoNode) []*ipld.Link {
	if e.scope == All {
		return node.Links()
	}
	fs, err := unixfs.FSNodeFromBytes(node.Data())
	if err != nil {
		return node.Links()
	}
	switch fs.Type() {
	case unixfs.TDirectory:
		return nil
	case unixfs.THAMTShard: // links to shards have a name of the prefix alone
		return slices.DeleteFunc(slices.Clone(node.Links()), func(l *ipld.Link) bool { return len(l.Name) > 2 })
	}
	return node.Links()
}
