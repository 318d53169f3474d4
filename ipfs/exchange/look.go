package exchange

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	maxDepth = 16 // of a DAG; a balanced one of 1024 links is 4 deep at 1 EiB
	samples  = 32 // blocks that are looked for to tell whether a DAG is whole
)

// isNode tells whether a block can have others below it.
func isNode(c cid.Cid) bool { return c.Prefix().Codec == cid.DagProtobuf }

// look tells what the store has of a DAG by looking for some of its blocks.
func (x *Exchange) look(ctx context.Context, root cid.Cid) state {
	if !x.store.Has(ctx, root) {
		return none
	}
	left := samples
	if x.sample(ctx, root, 0, &left) {
		return holds
	}
	return some
}

// sample looks for blocks below c, spread evenly over the DAG.
func (x *Exchange) sample(ctx context.Context, c cid.Cid, depth int, left *int) bool {
	if *left--; !x.store.Has(ctx, c) {
		return false
	}
	if !isNode(c) || depth > maxDepth {
		return true
	}
	data, err := x.store.Get(ctx, c)
	if err != nil {
		return false
	}
	links, _ := ipfs.Links(c, data) // what is no node has none
	count := min(len(links), max(*left, 1))
	for i := range count {
		at := i
		if count > 1 { // first, last and some between
			at = i * (len(links) - 1) / (count - 1)
		}
		l := links[at]
		if *left > 0 || !isNode(l.Cid) {
			if !x.sample(ctx, l.Cid, depth+1, left) {
				return false
			}
		} else if !x.store.Has(ctx, l.Cid) {
			return false
		}
	}
	return true
}
