// Package p2p puts a node on a libp2p network, where it gives blocks to other
// nodes and gets blocks from them.
//
// Nodes of this program speak HTTP to each other over libp2p streams: the
// handler and the requests are the caller's, this package carries them. With
// Kubo and all other IPFS nodes blocks go by bitswap. Peers are found by
// address, on the local network (mDNS), in a DHT and through delegated routing
// servers. Nothing of this is on unless [Config] asks for it.
//
// It alone imports go-libp2p, its DHT and bitswap.
package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/peering"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Blocks are what a node gives to its peers. Looking must not cause a fetch.
type Blocks interface {
	ipfs.Haser
	// Size tells how many bytes a block has, without reading them. Errors match
	// [ipfs.ErrNotFound].
	Size(ctx context.Context, c cid.Cid) (int64, error)
}

// Config says who a node is, whom it knows and what it gives away.
type Config struct {
	// Identity is the node's key, see [LoadIdentity]; nil for a new one that
	// ends with the node.
	Identity crypto.PrivKey
	// UserAgent is what peers are told, such as "image2ipfs/0.2.0".
	UserAgent string
	// Listen are multiaddrs to listen on; without any the node only dials.
	Listen []string
	// Peers are multiaddrs ending in /p2p/ID that stay connected, or dns:NAME or
	// dns:NAME:PORT for all that are behind a name at TCP port 4001 or another:
	// resolved every 30 seconds, each one's ID learnt from its handshake. At most
	// 48 of those behind names are connected to.
	Peers []string
	// Resolver resolves the names in Peers; nil for the system's.
	Resolver *net.Resolver
	// SwarmKey is the content of a swarm.key file as Kubo writes it. Nodes
	// without the key cannot connect then, and QUIC, which has no such key, is off.
	SwarmKey []byte
	// MDNS finds peers on the local network.
	MDNS bool
	// Public takes part in the DHT of the public IPFS network.
	Public bool
	// Bootstrap are multiaddrs ending in /p2p/ID by which the DHT is entered:
	// instead of the public network's with Public, else those of a DHT of their own.
	Bootstrap []string
	// Routing are URLs of delegated routing servers (/routing/v1).
	Routing []string
	// Blocks are given to peers by bitswap; nil gives none.
	Blocks Blocks
	// Handler makes what answers peers over HTTP, before any of them can
	// connect. The RemoteAddr of a request is the peer's ID. nil answers none.
	Handler func(n *Node) http.Handler
	// Announce lists what the node is a provider of, when there is a DHT or a
	// routing server to tell. It is asked each minute for each of these, also at
	// once; nil announces nothing.
	Announce func(ctx context.Context) ([]cid.Cid, error)
	// Memory is what strangers are given of the process's memory, of which peers'
	// streams and messages have shares; one of 512 MiB when nil.
	Memory *budget.Budget
	// Logger gets what the operator should know; nil for none.
	Logger *slog.Logger

	namedInterval time.Duration // between resolutions of names, in tests; default 30 s
}

// Node is a libp2p node; it is safe for concurrent use.
type Node struct {
	host    host.Host
	bitswap *bitswap.Bitswap
	peering *peering.PeeringService
	http    *http.Server
	answers answers // of http
	client  *http.Transport
	routers []router
	dht     dhtRouter // nil without a DHT
	log     *slog.Logger

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	tasks     sync.WaitGroup
	dialed    chan struct{} // closed when each static peer was dialed once
	hasKey    bool          // a swarm key
	memory    *budget.Budget
	unreached unreached        // static peers, names
	static    map[peer.ID]bool // peers that were given by ID
	seeking   bool             // mDNS, a DHT or a name may still find peers
	expects   bool             // peers by address, by name or by mDNS
	local     bool             // mDNS finds peers
	delegated bool             // there is a delegated routing server

	closers []func() error // run by Close, last first
	once    sync.Once
	err     error // of Close
}

// New starts a node. It returns as soon as the node listens; peers are dialed
// meanwhile, see [Node.Ready]. Errors name the address, key or URL that is wrong.
func New(ctx context.Context, cfg Config) (*Node, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	parsed, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	if cfg.Memory == nil {
		cfg.Memory = budget.New(0)
	}
	n := &Node{log: silent.Logger(cfg.Logger), dialed: make(chan struct{}), seeking: cfg.MDNS || parsed.hasDHT() || len(parsed.names) > 0, local: cfg.MDNS, expects: cfg.MDNS || len(cfg.Peers) > 0, delegated: len(cfg.Routing) > 0, hasKey: len(cfg.SwarmKey) > 0, memory: cfg.Memory}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := n.start(cfg, parsed); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.tell(cfg)
	return n, nil
}

func (n *Node) start(cfg Config, parsed *parsed) (err error) {
	if n.host, err = newHost(cfg, parsed); err != nil {
		return fmt.Errorf("libp2p host: %w", err)
	}
	n.onClose(n.host.Close)
	n.client = n.newTransport()
	n.onClose(func() error { n.client.CloseIdleConnections(); return nil })
	if cfg.Handler != nil {
		if handler := cfg.Handler(n); handler != nil {
			if err := n.serveHTTP(handler); err != nil {
				return err
			}
		}
	}
	n.startBitswap(cfg.Blocks)
	identified, err := n.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return err
	}
	n.task(func() { n.measure(identified) })
	if err := n.startRouting(cfg, parsed); err != nil {
		return err
	}
	for _, a := range parsed.listen { // one by one: libp2p is content when one of them works
		if err := n.host.Network().Listen(a); err != nil {
			if strings.Contains(err.Error(), "address already in use") { // all that libp2p tells
				err = fmt.Errorf("%w: %w", ErrInUse, err)
			}
			return fmt.Errorf("listening for peers on %s: %w", a, err)
		}
	}
	if err := n.connect(parsed.peers); err != nil {
		return err
	}
	if len(parsed.names) > 0 {
		n.follow(cfg, parsed.names)
	}
	if cfg.MDNS {
		n.startMDNS(len(parsed.listen) > 0)
	}
	if cfg.Announce != nil {
		for _, r := range n.routers {
			n.task(func() { n.announceTo(r, cfg.Announce) })
		}
	}
	return nil
}

// tell logs what of this machine others can see from now on.
func (n *Node) tell(cfg Config) {
	who := "every peer that connects"
	if len(cfg.SwarmKey) > 0 {
		who = "holders of the swarm key"
	}
	if cfg.Blocks == nil && cfg.Handler == nil {
		who = "nobody"
	}
	attrs := []any{"id", n.ID(), "listening", n.Addrs()}
	if cfg.MDNS && len(cfg.Listen) > 0 {
		attrs = append(attrs, "found by", "the local network")
	}
	if cfg.Announce != nil && len(n.routers) > 0 {
		names := make([]string, len(n.routers))
		for i, r := range n.routers {
			names[i] = r.name
		}
		attrs = append(attrs, "images announced to", names)
	}
	n.log.Info("peers: blocks of this store are given to "+who, attrs...)
}

// task runs f until the node ends, at the latest.
func (n *Node) task(f func()) {
	n.tasks.Go(f)
}

func (n *Node) onClose(f func() error) { n.closers = append(n.closers, f) }

// Close ends all connections and returns when nothing of the node runs any more.
func (n *Node) Close() error {
	n.once.Do(func() {
		n.cancel()
		var errs []error
		for _, closer := range slices.Backward(n.closers) {
			errs = append(errs, closer())
		}
		n.answers.end()
		n.tasks.Wait()
		n.err = errors.Join(errs...)
	})
	return n.err
}

// ID is the node's peer ID.
func (n *Node) ID() string { return n.host.ID().String() }

// Addrs are the multiaddrs, with /p2p/ID, at which others may reach the node.
// There are none when it does not listen.
func (n *Node) Addrs() []string {
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()})
	if err != nil {
		return nil
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return texts
}
