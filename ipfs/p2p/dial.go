package p2p

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Dial connects to the peers at multiaddrs that end in /p2p/ID, all at once, and gives the
// IDs of those that it reached. Errors match [ErrConfig] for what is no such address, and
// name the peers that do not answer.
func (n *Node) Dial(ctx context.Context, addrs []string) (reached []string, err error) {
	peers, err := parsePeers(addrs)
	if err != nil {
		return nil, err
	}
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		failed []error
	)
	for _, p := range peers {
		if p.ID == n.host.ID() {
			continue
		}
		all.Go(func() {
			err := n.dial(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("peer %s: %w", p.ID, n.explained(err)))
				return
			}
			reached = append(reached, p.ID.String())
		})
	}
	all.Wait()
	return reached, errors.Join(failed...)
}
