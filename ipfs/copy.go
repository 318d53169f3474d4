package ipfs

import (
	"context"
	"sync"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"
)

const copyParallel = 32 // blocks that are fetched at once

// Copy puts every block of the DAG under root from one place to another, each
// once, but for what lies under done, which is there already. Errors match those
// of from and to, and [ErrCorrupt] for nodes that cannot be read.
func Copy(ctx context.Context, from Getter, to Putter, root cid.Cid, done ...cid.Cid) error {
	c := &copier{from: from, to: to, seen: map[cid.Cid]bool{root: true}}
	for _, d := range done {
		c.seen[d] = true
	}
	for level := []cid.Cid{root}; len(level) > 0; {
		var err error
		if level, err = c.level(ctx, level); err != nil {
			return err
		}
	}
	return nil
}

type copier struct {
	from Getter
	to   Putter

	mu   sync.Mutex // one Put at a time
	seen map[cid.Cid]bool
}

// level copies the given blocks and gives those that they link to.
func (c *copier) level(ctx context.Context, blocks []cid.Cid) (next []cid.Cid, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copyParallel)
	for _, b := range blocks {
		g.Go(func() error {
			data, err := c.from.Get(ctx, b)
			if err != nil {
				return err
			}
			links, err := Links(b, data)
			if err != nil {
				return err
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, l := range links {
				if !c.seen[l.Cid] {
					c.seen[l.Cid] = true
					next = append(next, l.Cid)
				}
			}
			return c.to.Put(ctx, b, data)
		})
	}
	err = g.Wait()
	return next, err
}
