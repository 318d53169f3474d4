package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/node"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

// network is the node that exchanges blocks with peers, and what it has got
// from them before.
type network struct {
	node     *p2p.Node
	exchange *exchange.Exchange
	cache    *node.Cache
	control  *control // of a server
}

// link is the node as the exchange sees it.
type link struct{ *p2p.Node }

func (l link) Self() string { return l.ID() }

func (l link) Peers() []exchange.Peer {
	peers := l.Node.Peers()
	out := make([]exchange.Peer, len(peers))
	for i, p := range peers {
		out[i] = p
	}
	return out
}

// Blocks gets blocks by bitswap, when there is a peer that speaks nothing else.
func (l link) Blocks(ctx context.Context, cids []cid.Cid, yield func(c cid.Cid, data []byte) error) error {
	if !slices.ContainsFunc(l.Connected(), onlyBitswap) {
		return fmt.Errorf("%w: no peer speaks bitswap alone", errors.ErrUnsupported)
	}
	return l.Node.Blocks(ctx, cids, yield)
}

func onlyBitswap(p p2p.PeerInfo) bool {
	return slices.Contains(p.Protocols, "bitswap") && !slices.Contains(p.Protocols, "image2ipfs")
}

// join starts the node that the flags ask for; nil when they ask for none. A
// server listens, keeps its ID and tells of its images; other commands only
// dial, so that they can run beside it.
func (o *peerOptions) join(ctx context.Context, store *node.Store, server bool, log *slog.Logger) (n *network, err error) {
	if err := o.check(); err != nil || !o.asked() {
		return nil, err
	}
	cfg, err := o.config(server)
	if err != nil {
		return nil, err
	}
	n = &network{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
			n = nil
		}
	}()
	if n.cache, err = store.Cache(int64(o.cacheSize)); err != nil {
		return n, err
	}
	held := newLocal(store, n.cache)
	cfg.Logger, cfg.Blocks = log, held
	cfg.Handler = func(node *p2p.Node) http.Handler {
		n.exchange = exchange.New(exchange.Config{Network: link{node}, Store: held, Logger: log})
		return n.exchange.Handler()
	}
	if server {
		if cfg.Identity, err = p2p.LoadIdentity(store.Path()); err != nil {
			return n, err
		}
		cfg.Announce = (&announcer{engine: store}).list
	}
	if n.node, err = o.start(ctx, cfg); err != nil || !server {
		return n, err
	}
	n.control, err = serveControl(store.Path(), n.node)
	return n, err
}

func (n *network) close() error {
	if n == nil {
		return nil
	}
	var errs []error
	if n.control != nil {
		errs = append(errs, n.control.close())
	}
	if n.exchange != nil {
		errs = append(errs, n.exchange.Close())
	}
	if n.node != nil {
		errs = append(errs, n.node.Close())
	}
	if n.cache != nil {
		errs = append(errs, n.cache.Close())
	}
	return errors.Join(errs...)
}
