package p2p

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ipfs/boxo/routing/http/client"
	"github.com/ipfs/boxo/routing/http/contentrouter"
	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/dual"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/image2ipfs/image2ipfs/internal/redact"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// router finds providers of a block, and is told of this node.
type router struct {
	routing.ContentRouting
	name  string     // for the log
	peers func() int // of a DHT: how many it knows; nil for a server
}

// empty tells whether a router knows nobody yet.
func (r router) empty() bool { return r.peers != nil && r.peers() == 0 }

// dhtRouter is the part of a DHT that is used, of one or of both its halves.
type dhtRouter interface {
	routing.ContentRouting
	routing.PeerRouting
	Bootstrap(ctx context.Context) error
	io.Closer
}

const (
	// maxProviders is how many providers are taken from one router.
	maxProviders = 20
	// findTimeout bounds a search.
	findTimeout = time.Minute
)

func (n *Node) startRouting(cfg Config, p *parsed) error {
	if p.hasDHT() {
		r, err := n.newDHT(p)
		if err != nil {
			return fmt.Errorf("joining the DHT: %w", err)
		}
		n.onClose(n.dht.Close)
		n.routers = append(n.routers, r)
		if err := n.dht.Bootstrap(n.ctx); err != nil {
			return fmt.Errorf("joining the DHT: %w", err)
		}
	}
	for _, url := range cfg.Routing {
		opts := []client.Option{
			client.WithUserAgent(cmp.Or(cfg.UserAgent, defaultAgent)),
			client.WithProviderInfoFunc(n.host.ID(), func() []ma.Multiaddr { return n.host.Addrs() }),
		}
		if key := n.host.Peerstore().PrivKey(n.host.ID()); key != nil {
			opts = append(opts, client.WithIdentity(key))
		}
		c, err := client.New(url, opts...)
		if err != nil {
			return fmt.Errorf("%w: routing server %q: %w", ErrConfig, redact.URL(url), err)
		}
		n.routers = append(n.routers, router{contentrouter.NewContentRoutingClient(c), redact.URL(url), nil})
	}
	return nil
}

// newDHT joins the public network's DHT together with that of the local
// network, as Kubo does, or, without Public, only that of the peers named.
func (n *Node) newDHT(p *parsed) (router, error) {
	mode := dht.ModeClient
	if p.public {
		if len(p.listen) > 0 {
			mode = dht.ModeAuto
		}
		d, err := dual.New(n.ctx, n.host, dual.DHTOption(dht.Mode(mode)),
			dual.WanDHTOption(dht.BootstrapPeers(p.bootstrap...), dht.EnableOptimisticProvide()))
		if err != nil {
			return router{}, err
		}
		n.dht = d
		return router{d, "the public DHT", func() int { return d.WAN.RoutingTable().Size() + d.LAN.RoutingTable().Size() }}, nil
	}
	if len(p.listen) > 0 {
		mode = dht.ModeServer
	}
	d, err := dht.New(n.ctx, n.host, dht.Mode(mode), dht.BootstrapPeers(p.bootstrap...), dht.ProtocolExtension(dual.LanExtension))
	if err != nil {
		return router{}, err
	}
	n.dht = d
	return router{d, "the DHT of the bootstrap peers", d.RoutingTable().Size}, nil
}

// Find asks all routers who provides c and connects to a few of those. The
// error matches [ipfs.ErrNotFound] when no provider answers,
// [errors.ErrUnsupported] when there is nobody to ask, or is ctx's.
func (n *Node) Find(ctx context.Context, c cid.Cid) error {
	if len(n.routers) == 0 {
		return fmt.Errorf("providers of %s: %w without a DHT and routing servers", c, errors.ErrUnsupported)
	}
	search, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	found := make(chan peer.AddrInfo)
	var asked sync.WaitGroup
	for _, r := range n.routers {
		asked.Go(func() {
			for p := range r.FindProvidersAsync(search, c, maxProviders) {
				select {
				case found <- p:
				case <-search.Done():
				}
			}
		})
	}
	go func() {
		asked.Wait()
		close(found)
	}()
	connected := n.connectSome(search, cancel, found)
	if connected > 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: no provider of %s answers", ipfs.ErrNotFound, c)
}
