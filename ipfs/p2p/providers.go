package p2p

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
)

// Provider is a node that is said to have a block.
type Provider struct {
	ID     string   `json:"id"`
	Addrs  []string `json:"addrs"`  // multiaddrs, as far as they are known
	Router string   `json:"router"` // who says so
}

// providersTime is how long all routers together are asked for providers: a DHT
// goes on looking after it has named those that it knows.
const providersTime = 20 * time.Second

// Providers asks all routers who provides c, and connects to nobody. They are sorted by
// ID. The error matches [errors.ErrUnsupported] when there is nobody to ask.
func (n *Node) Providers(ctx context.Context, c cid.Cid) ([]Provider, error) {
	if len(n.routers) == 0 {
		return nil, fmt.Errorf("providers of %s: %w without a DHT and routing servers", c, errors.ErrUnsupported)
	}
	ctx, cancel := context.WithTimeout(ctx, providersTime)
	defer cancel()
	var (
		mu    sync.Mutex
		found = map[string]*Provider{}
		asked sync.WaitGroup
	)
	for _, r := range n.routers {
		asked.Go(func() {
			for p := range r.FindProvidersAsync(ctx, c, maxProviders) {
				mu.Lock()
				known := found[p.ID.String()]
				if known == nil {
					known = &Provider{ID: p.ID.String(), Router: r.name, Addrs: []string{}}
					found[known.ID] = known
				}
				for _, a := range p.Addrs {
					if text := printable(a.String()); !slices.Contains(known.Addrs, text) {
						known.Addrs = append(known.Addrs, text)
					}
				}
				mu.Unlock()
			}
		})
	}
	asked.Wait()
	list := make([]Provider, 0, len(found))
	for _, p := range found {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Provider) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}
