package server

import (
	"context"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// streams bounds what is held in memory of contents that come from elsewhere
// while they are sent on: the block that a client takes, and those that are read
// ahead. A content of the store in this process needs neither.
type streams struct{ memory *budget.Share }

// begin takes memory until ctx, that of the request, ends. It gives how many
// blocks to read ahead of ranges of these lengths: want, or fewer where many share the
// memory. The error has the code TOOMANYREQUESTS.
func (s *streams) begin(ctx context.Context, want int, lengths []int64) (ahead int, err error) {
	least := int64(0) // that blocks of the ranges take, with what lies around them
	for _, n := range lengths {
		least = min(least+min(n, 1<<40)+2*leafSize, 1<<40)
	}
	for ahead = want; ahead > 0; ahead /= 2 {
		// A quarter of all is the most for one: others come.
		if n := min(int64(ahead+1)*leafSize, least); 4*n <= s.memory.Size() {
			if release, ok := s.memory.Try(ctx, n); ok {
				context.AfterFunc(ctx, release)
				return ahead, nil
			}
		}
	}
	return 0, s.hold(ctx, leafSize)
}

// hold takes n bytes until ctx ends. Errors are those of begin.
func (s *streams) hold(ctx context.Context, n int64) error {
	return occupy(ctx, s.memory, n, "too many contents from elsewhere are being sent")
}
