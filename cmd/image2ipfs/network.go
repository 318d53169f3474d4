package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// network is the node that exchanges blocks with peers, and what it has got
// from them before.
type network struct {
	node     *p2p.Node
	exchange *exchange.Exchange
	cache    *packstore.Cache
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

// join starts the node that the flags ask for; nil when they ask for none. A
// server listens, keeps its ID and tells of its images; other commands only
// dial, so that they can run beside it.
func (o *peerOptions) join(ctx context.Context, store *packstore.Store, server bool, log *slog.Logger) (n *network, err error) {
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
	if server { // before a second node with the same ID is on the network
		if n.control, err = newControl(store.Path()); err != nil {
			return n, err
		}
		if cfg.Identity, err = p2p.LoadIdentity(store.Path()); err != nil {
			return n, err
		}
		cfg.Announce = (&announcer{store: store}).list
	}
	if n.node, err = o.start(ctx, cfg); err != nil || !server {
		return n, err
	}
	if err := n.control.serve(n); err != nil { // blocks are exchanged without as well
		log.Warn("image2ipfs id and peers get no answer from this server", "error", err)
	}
	return n, nil
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
