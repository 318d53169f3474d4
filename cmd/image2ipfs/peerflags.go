package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/server"
)

// peerOptions say which peers blocks are exchanged with.
type peerOptions struct {
	peers     []string
	mdns      bool
	swarmKey  string
	public    bool
	routing   []string
	bootstrap []string
	cacheSize byteSize
	listen    []string       // of serve alone
	memory    *server.Memory // of serve alone; nil for one of the default size
	everyone  bool           // serve fetches for everyone
}

// defaultCacheSize is how much of what came from peers is kept for others.
const defaultCacheSize = 10 << 30

// flags are those of all commands that read from peers.
func (o *peerOptions) flags(f *pflag.FlagSet) {
	o.cacheSize = defaultCacheSize
	f.StringSliceVar(&o.peers, "peers", nil, "exchange blocks with the node at this multiaddr (image2ipfs id prints it), or with all behind a name, as dns:NAME; may be given several times")
	f.BoolVar(&o.mdns, "mdns", false, "find peers on the local network")
	f.StringVar(&o.swarmKey, "swarm-key", "", "exchange blocks only with holders of the key in this file (Kubo's swarm.key)")
	f.BoolVar(&o.public, "public", false, "take part in the public IPFS network: find peers in its DHT and, as a server, announce images there")
	f.StringSliceVar(&o.routing, "routing", nil, "find peers through this delegated routing server (/routing/v1); may be given several times")
	f.StringSliceVar(&o.bootstrap, "bootstrap", nil, "enter a DHT by the node at this multiaddr: one of your own nodes', or with --public the public one; may be given several times")
	f.Var(&o.cacheSize, "cache-size", "how much of what came from peers is kept for others; the same for all processes of a store")
}

// serveFlags are flags, and those of a node that others connect to.
func (o *peerOptions) serveFlags(f *pflag.FlagSet) {
	o.flags(f)
	f.StringSliceVar(&o.listen, "swarm-listen", nil, "multiaddr on which peers can connect; may be given several times (default with any of these: "+strings.Join(p2p.DefaultListen(false), ", ")+")")
}

// asked tells whether peers are to be used at all.
func (o *peerOptions) asked() bool {
	return len(o.peers) > 0 || o.mdns || o.public || len(o.routing) > 0 || len(o.bootstrap) > 0 || len(o.listen) > 0
}

// check refuses what makes no sense, or has no effect; nobody is asked, and the key is not read.
func (o *peerOptions) check() error {
	if !o.asked() && o.swarmKey != "" {
		return usageError{errors.New("--swarm-key alone finds no peers: give --peers or --mdns as well")}
	}
	if err := o.written().Check(o.swarmKey != ""); err != nil {
		return usageError{err}
	}
	return nil
}

// maxKey is how large a file with a key or a record may be, in bytes.
const maxKey = 64 << 10

// written is what the flags say of a node by themselves.
func (o *peerOptions) written() p2p.Config {
	return p2p.Config{
		UserAgent: "image2ipfs/" + version, Listen: o.listen,
		Peers: o.peers, MDNS: o.mdns, Public: o.public, Bootstrap: o.bootstrap, Routing: o.routing,
	}
}

// config is written with what is in files; listens is for a node that others can connect
// to.
func (o *peerOptions) config(ctx context.Context, listens bool) (p2p.Config, error) {
	cfg := o.written()
	if o.swarmKey != "" {
		key, err := input.ReadFile(ctx, o.swarmKey, maxKey)
		if err != nil {
			return cfg, fmt.Errorf("--swarm-key: %w", err)
		}
		if cfg.SwarmKey = key; len(key) == 0 {
			return cfg, usageError{fmt.Errorf("--swarm-key %s: the file is empty", o.swarmKey)}
		}
	}
	if listens && len(cfg.Listen) == 0 {
		cfg.Listen = p2p.DefaultListen(o.swarmKey != "")
	}
	return cfg, nil
}

// join starts the node that the flags ask for; nil when they ask for none. A
// server listens, keeps its ID and tells of its images.
func (o *peerOptions) join(ctx context.Context, store *packstore.Store, server bool, log *slog.Logger) (n *network.Network, err error) {
	if err := o.check(); err != nil || !o.asked() {
		return nil, err
	}
	node, err := o.config(ctx, server)
	if err != nil {
		return nil, err
	}
	cfg := network.Config{Node: node, CacheSize: int64(o.cacheSize), Memory: o.memory, Logger: log,
		FetchesFor: "requests from this machine; from elsewhere with serve --open"}
	if o.everyone {
		cfg.FetchesFor = "everyone"
	}
	if server {
		n, err = network.Serve(ctx, store, cfg)
	} else {
		n, err = network.Join(ctx, store, cfg)
	}
	switch {
	case errors.Is(err, p2p.ErrConfig):
		err = usageError{err}
	case errors.Is(err, p2p.ErrInUse):
		err = fmt.Errorf("%w; choose a port with --swarm-listen", err)
	}
	return n, err
}
