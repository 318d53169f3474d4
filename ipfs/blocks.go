package ipfs

import (
	"context"
	"fmt"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
)

// Blocks calls fn for the blocks below and with top, of which size is the
// number of bytes when it is a leaf. Only nodes are read: a leaf's size is the
// one that its parent states. Below a node for which fn returns false nothing
// is visited. Errors are those of g, or match [ErrIntegrity].
func Blocks(ctx context.Context, g Getter, top cid.Cid, size int64, fn func(c cid.Cid, size int64) (descend bool)) error {
	if top.Type() == cid.Raw {
		fn(top, size)
		return nil
	}
	data, err := g.Get(ctx, top)
	if err != nil {
		return err
	}
	if !fn(top, int64(len(data))) {
		return nil
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return fmt.Errorf("%w: block %s is no dag-pb node: %v", ErrIntegrity, top, err)
	}
	for _, l := range node.Links() {
		if err := Blocks(ctx, g, l.Cid, int64(l.Size), fn); err != nil {
			return err
		}
	}
	return nil
}
