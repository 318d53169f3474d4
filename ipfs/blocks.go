package ipfs

import (
	"context"
	"fmt"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// Links reads the links of the block c; a raw one has none. The error matches
// [ErrCorrupt].
func Links(c cid.Cid, data []byte) ([]*ipld.Link, error) {
	if c.Prefix().Codec == cid.Raw {
		return nil, nil
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil, fmt.Errorf("%w: block %s is no dag-pb node: %v", ErrCorrupt, c, err)
	}
	return node.Links(), nil
}

// Blocks calls fn once for each of the blocks below and with top, of which size
// is the number of bytes when it is a leaf. Only nodes are read: a leaf's size is
// the one that its parent states. Below a node for which fn returns false nothing
// is visited. Errors are those of g, or match [ErrCorrupt].
func Blocks(ctx context.Context, g Getter, top cid.Cid, size int64, fn func(c cid.Cid, size int64) (descend bool)) error {
	w := blockWalk{ctx: ctx, g: g, fn: fn, seen: map[cid.Cid]bool{}}
	return w.visit(top, size)
}

type blockWalk struct {
	ctx  context.Context
	g    Getter
	fn   func(c cid.Cid, size int64) bool
	seen map[cid.Cid]bool // nodes that link to the next many times would take for ever
}

func (w *blockWalk) visit(c cid.Cid, size int64) error {
	if w.seen[c] {
		return nil
	}
	w.seen[c] = true
	if c.Type() == cid.Raw {
		w.fn(c, size)
		return nil
	}
	data, err := w.g.Get(w.ctx, c)
	if err != nil {
		return err
	}
	links, err := Links(c, data)
	if err != nil || !w.fn(c, int64(len(data))) {
		return err
	}
	for _, l := range links {
		if err := w.visit(l.Cid, int64(l.Size)); err != nil {
			return err
		}
	}
	return nil
}
