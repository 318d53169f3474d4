// Package network is a machine's part in a network of peers: a libp2p node
// (ipfs/p2p), the exchange of blocks over it (ipfs/exchange), what has come from
// peers before (the cache of ipfs/packstore), and the socket on which a server
// tells of them.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/control"
	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// Config says with whom blocks are exchanged.
type Config struct {
	// Node is who to meet and how. Its Blocks, Handler, Identity and Announce are
	// this package's to set.
	Node p2p.Config
	// CacheSize is how many bytes of what came from peers are kept for others; 0
	// for none.
	CacheSize int64
	// Memory is what strangers are given of the process's memory; one of 512 MiB
	// when nil.
	Memory *budget.Budget
	// FetchesFor says for whom the server fetches what peers have, for
	// [FetchesFor]; a server's alone.
	FetchesFor string
	// Logger gets what the operator should know; nil for none.
	Logger *slog.Logger
}

// Network is a running node. It must be closed.
type Network struct {
	node     *p2p.Node
	exchange *exchange.Exchange
	cache    *packstore.Cache
	cacheMax int64 // bytes
	local    *packstore.Local
	control  *control.Control // of a server
	static   []string         // multiaddrs of peers that are to stay connected
	names    namesPart
	absent   error // no peer has answered; nil when one did, or nobody waited
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

// Join starts a node with a new ID that only dials, so that it can run beside a
// server of the store, and waits until there is a peer to ask. When there is none
// the logger is told, and [Network.Blocks] is not sure of what it does not find.
func Join(ctx context.Context, store *packstore.Store, cfg Config) (*Network, error) {
	n, err := start(ctx, store, cfg, func(*Network, *p2p.Config) error { return nil })
	if err != nil {
		return nil, err
	}
	err = n.node.Ready(ctx)
	if errors.Is(err, ipfs.ErrUnavailable) {
		silent.Logger(cfg.Logger).Warn("no peers", "error", err) // another source may do
		n.absent = err
	} else if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Serve starts the node of a server: it keeps its ID, announces what the store
// keeps and answers [ReadIdentity] and [Peers]. The error says so when another
// server of the store does that already.
func Serve(ctx context.Context, store *packstore.Store, cfg Config) (*Network, error) {
	n, err := start(ctx, store, cfg, func(n *Network, node *p2p.Config) (err error) {
		// Before a second node with the same ID is on the network.
		if n.control, err = control.Lock(store.Path()); err != nil {
			return err
		}
		node.Announce = (&announcer{store: store}).list
		node.Identity, err = p2p.LoadIdentity(store.Path())
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := n.control.Serve(n.answers(cfg.FetchesFor)); err != nil { // blocks are exchanged without as well
		silent.Logger(cfg.Logger).Warn("image2ipfs id and peers get no answer from this server", "error", err)
	}
	return n, nil
}

func start(ctx context.Context, store *packstore.Store, cfg Config, prepare func(*Network, *p2p.Config) error) (*Network, error) {
	n := &Network{cacheMax: cfg.CacheSize}
	node := cfg.Node
	err := prepare(n, &node)
	if err == nil {
		n.cache, err = store.Cache(cfg.CacheSize)
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.local, n.static = packstore.NewLocal(store, n.cache), node.Peers
	node.Logger, node.Blocks, node.Memory = cfg.Logger, known{n.local}, cfg.Memory
	node.Handler = func(node *p2p.Node) http.Handler {
		n.exchange = exchange.New(exchange.Config{Network: link{node}, Store: known{n.local}, Logger: cfg.Logger, Memory: cfg.Memory, Origin: node.Origin})
		n.names.node, n.names.log = node, silent.Logger(cfg.Logger)
		mux := http.NewServeMux()
		mux.Handle(exchange.Path, n.exchange.Handler())
		mux.HandleFunc(namesPath, n.answerName)
		return mux
	}
	if n.node, err = p2p.New(ctx, node); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Close leaves the network.
func (n *Network) Close() error {
	var errs []error
	if n.control != nil {
		errs = append(errs, n.control.Close())
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

// Cache is what has come from peers.
func (n *Network) Cache() *packstore.Cache { return n.cache }

// Local is what the store and the cache have.
func (n *Network) Local() *packstore.Local { return n.local }

// Metrics tell of the traffic with peers.
func (n *Network) Metrics() prometheus.Collector { return metrics{&declared, n} }

// Blocks are what peers have. It is a [ipfs.Getter] and gets whole files ahead.
func (n *Network) Blocks() *Blocks { return &Blocks{n.exchange, n} }

// Blocks is the exchange, of which it is not known whether a block is nowhere as
// long as no peer has answered.
type Blocks struct {
	*exchange.Exchange
	n *Network
}

// Get implements [ipfs.Getter]. Errors are those of the exchange, but match
// [ipfs.ErrUnavailable] in place of [ipfs.ErrNotFound] when nobody was asked: none of the
// peers that are to be there is connected. So soon as one is, it is asked.
func (b *Blocks) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	awaited := b.n.node.Awaited()
	data, err := b.Exchange.Get(ctx, c)
	switch {
	case !errors.Is(err, ipfs.ErrNotFound):
	case b.n.absent != nil:
		err = b.n.absent
	case awaited != nil: // before, since it may have come meanwhile
		err = ipfs.OneBlock(fmt.Errorf("block %s: %w", c, awaited))
	}
	return data, err
}
