package exchange

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Trial is what came of asking one peer for a block.
type Trial struct {
	Peer string // its ID
	Took time.Duration
	Err  error // nil when it gave the block; matches [ipfs.ErrNotFound] when it answers and lacks it
}

// maxTried is how many peers are asked in one trial.
const maxTried = 16

// Try asks each connected peer for a block, as if this machine lacked it, and keeps
// nothing of what comes: so it is seen who gives blocks. Peers that would rest are
// asked, too; no more than 16 are. The trials are sorted by the peers' IDs.
func (x *Exchange) Try(ctx context.Context, c cid.Cid) []Trial {
	peers := x.sorted(maxTried)
	trials := make([]Trial, len(peers))
	var all sync.WaitGroup
	for i := range trials {
		all.Go(func() { trials[i] = x.try(ctx, peers[i], c) })
	}
	all.Wait()
	return trials
}

// sorted are the connected peers by their IDs, and no more than most.
func (x *Exchange) sorted(most int) []Peer {
	peers := x.net.Peers()
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Compare(a.String(), b.String()) })
	return peers[:min(len(peers), most)]
}

func (x *Exchange) try(ctx context.Context, p Peer, c cid.Cid) Trial {
	began, came := time.Now(), false
	err := x.ask(ctx, p, &request{root: c, cids: []cid.Cid{c}, yield: func(cid.Cid, []byte) error {
		came = true
		return nil
	}})
	if err == nil && !came {
		err = fmt.Errorf("%w: it has no block %s", ipfs.ErrNotFound, c)
	}
	return Trial{Peer: p.String(), Took: time.Since(began), Err: err}
}
