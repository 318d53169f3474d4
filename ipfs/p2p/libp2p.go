package p2p

import (
	"cmp"
	"crypto/rand"
	"fmt"

	"github.com/libp2p/go-libp2p/config"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"go.uber.org/fx"
)

// newLibp2p makes a libp2p host that does not listen. It is what package libp2p's New
// does with the options of this node, without that package: it has every transport there
// is linked into the program (docs/decisions.md).
func newLibp2p(cfg Config, p *parsed, c config.Config) (host.Host, error) {
	key := cfg.Identity
	if key == nil {
		var err error
		if key, _, err = crypto.GenerateEd25519Key(rand.Reader); err != nil {
			return nil, err
		}
	}
	peers, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, fmt.Errorf("peerstore: %w", err)
	}
	c.PeerKey, c.Peerstore, c.DisableMetrics = key, peers, true
	c.UserAgent = cmp.Or(cfg.UserAgent, defaultAgent)
	c.SecurityTransports = []config.Security{{ID: tls.ID, Constructor: tls.New}, {ID: noise.ID, Constructor: noise.New}}
	c.Muxers = []tptu.StreamMuxer{{ID: yamux.ID, Muxer: newMuxer()}}
	c.UDPBlackHoleSuccessCounter = &swarm.BlackHoleSuccessCounter{N: 100, MinSuccesses: 5, Name: "UDP"}
	c.IPv6BlackHoleSuccessCounter = &swarm.BlackHoleSuccessCounter{N: 100, MinSuccesses: 5, Name: "IPv6"}
	c.PSK = p.psk
	if p.psk == nil {
		c.Transports = append(c.Transports, asTransport(quic.NewTransport))
	}
	var tcpOptions []tcp.Option
	if p.public {
		c.Relay, c.EnableHolePunching, c.NATManager = true, true, basichost.NewNATManager
	} else {
		c.DisableIdentifyAddressDiscovery = true
		tcpOptions = append(tcpOptions, tcp.DisableReuseport())
	}
	c.Transports = append(c.Transports, asTransport(func(u transport.Upgrader, limits network.ResourceManager) (*tcp.TcpTransport, error) {
		return tcp.NewTCPTransport(u, limits, nil, tcpOptions...)
	}))
	return c.NewNode()
}

// asTransport is how [config.Config] is given a transport: by its constructor, which may
// ask for what a host has.
func asTransport(constructor any) fx.Option {
	return fx.Provide(fx.Annotate(constructor, fx.As(new(transport.Transport)), fx.ResultTags(`group:"transport"`)))
}

// services are the protocols of libp2p that a host speaks by itself, and how many streams
// each may have, in one direction: of all peers, and of one. What they read is small.
var services = []struct {
	name      string
	protocols []protocol.ID
	all, one  int
}{
	{identify.ServiceName, []protocol.ID{identify.ID, identify.IDPush}, 64, 16},
	{ping.ServiceName, []protocol.ID{ping.ID}, 64, 2},
	{autonat.ServiceName, []protocol.ID{autonat.AutoNATProto}, 64, 2},
	{holepunch.ServiceName, []protocol.ID{holepunch.Protocol}, 32, 2},
	{"", []protocol.ID{circuit.ProtoIDv2Hop, circuit.ProtoIDv2Stop}, 640, 128},
}

// limitServices sets the limits of [services].
func limitServices(limits *rcmgr.ScalingLimitConfig) {
	none := rcmgr.BaseLimitIncrease{} // with the machine's memory
	bound := func(streams int, memory int64) rcmgr.BaseLimit {
		return rcmgr.BaseLimit{StreamsInbound: streams, StreamsOutbound: streams, Streams: 2 * streams, Memory: memory}
	}
	for _, s := range services {
		all, one := bound(s.all, 16<<20), bound(s.one, 32<<20)
		if s.name != "" {
			limits.AddServiceLimit(s.name, all, none)
			limits.AddServicePeerLimit(s.name, one, none)
		}
		for _, id := range s.protocols {
			limits.AddProtocolLimit(id, all, none)
			limits.AddProtocolPeerLimit(id, one, none)
		}
	}
}
