package ipfs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ipfs/go-cid"
)

// ErrBudget is matched by errors about blocks beyond a [Budget].
var ErrBudget = errors.New("too much to read")

// blockPrice is what a block costs beside its bytes.
const blockPrice = 1 << 10

// Budget gives blocks of g until they have n bytes together; small ones count as
// more. It is for walks through what somebody else made: a sharded directory of
// few blocks can lead to millions, which are held in memory while it is listed.
func Budget(g Getter, n int64) Getter {
	b := &budget{g: g}
	b.left.Store(n)
	return b
}

type budget struct {
	g    Getter
	left atomic.Int64
}

func (b *budget) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := b.g.Get(ctx, c)
	if err == nil && b.left.Add(-int64(len(data))-blockPrice) < 0 {
		return nil, fmt.Errorf("block %s: %w", c, ErrBudget)
	}
	return data, err
}
