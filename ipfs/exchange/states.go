package exchange

import (
	"context"
	"sync"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"
)

// Words for what a peer has, as [Holding] gives them.
const (
	HasNone  = string(none)
	HasSome  = string(some)
	Fetching = string(fetching) // has some, and is getting the rest
	HasAll   = string(holds)    // as far as a look at a part can tell
)

// Holding is what a peer says that it has of a DAG.
type Holding struct {
	Peer  string    // its ID
	State string    // one of the words above; empty when it gave no answer
	Files []cid.Cid // of those asked for, which it has all of; of a peer that does not have all
	Err   error     // why there is no answer; matches [ipfs.ErrUnavailable]
}

// maxAsked is how many peers are asked for what they have, at most.
const maxAsked = 64

// Holdings asks the connected peers what they have of the DAG under root, and those that
// have a part which of some files in it. They are sorted by the peers' IDs. What they say
// is not checked.
func (x *Exchange) Holdings(ctx context.Context, root cid.Cid, files []cid.Cid) []Holding {
	peers := x.sorted(maxAsked)
	holdings := make([]Holding, len(peers))
	var all sync.WaitGroup
	for i := range holdings {
		all.Go(func() { holdings[i] = x.holdingOf(ctx, peers[i], root, files) })
	}
	all.Wait()
	return holdings
}

func (x *Exchange) holdingOf(ctx context.Context, p Peer, root cid.Cid, files []cid.Cid) Holding {
	h := Holding{Peer: p.String()}
	s, err := x.askState(ctx, p, root)
	if h.Err = err; err != nil {
		return h
	}
	h.State = string(s)
	if s != some && s != fetching {
		return h
	}
	has := make([]bool, len(files))
	var asks errgroup.Group
	asks.SetLimit(searchAsking)
	for i, c := range files {
		asks.Go(func() error {
			s, err := x.askState(ctx, p, c)
			has[i] = s == holds
			return err
		})
	}
	h.Err = asks.Wait()
	for i, c := range files {
		if has[i] {
			h.Files = append(h.Files, c)
		}
	}
	return h
}
