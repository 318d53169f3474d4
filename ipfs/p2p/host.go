package p2p

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/config"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// Above highWater connections the least useful are closed until lowWater
	// are left; static peers stay.
	lowWater, highWater = 64, 128
	// namedLowWater and namedHighWater are the same where peers are behind a name, of
	// which each of hundreds may connect here.
	namedLowWater, namedHighWater = 512, 640
	// maxFiles bounds the file descriptors of all connections; where peers are behind a
	// name they may be twice namedHighWater.
	maxFiles = 512
	// maxPerAddress is how many connections one IPv4 address, or one IPv6
	// network of 56 bits, may have: machines behind one router, or containers.
	maxPerAddress = 64
	// connsPerSecond is how many new ones, after that many twice.
	connsPerSecond = 8
	// maxWindow is how far a stream's sender may be ahead of its reader, in
	// bytes: 40 MB/s over 100 ms.
	maxWindow = 4 << 20
	// tcpLead is how long TCP dials of private addresses have for themselves:
	// on a local network TCP is faster than QUIC.
	tcpLead = 150 * time.Millisecond
)

// newHost makes a host that does not listen yet.
func newHost(cfg Config, p *parsed) (host.Host, error) {
	low, high := p.water()
	within, err := newResourceManager(cfg.Memory.Streams.Size(), high)
	if err != nil {
		return nil, fmt.Errorf("resource limits: %w", err)
	}
	limits := &fairStreams{ResourceManager: within, memory: cfg.Memory.Streams}
	conns, err := connmgr.NewConnManager(low, high)
	if err != nil {
		return nil, fmt.Errorf("connection manager: %w", err)
	}
	h, err := newLibp2p(cfg, p, config.Config{
		ResourceManager: limits,
		ConnManager:     conns,
		AddrsFactory:    announced,
		DialRanker:      rankDials,
	})
	if err == nil {
		limits.host.Store(&h)
	}
	return h, err
}

// water is between how many connections a node keeps.
func (p *parsed) water() (low, high int) {
	if len(p.names) > 0 {
		return namedLowWater, namedHighWater
	}
	return lowWater, highWater
}

// defaultAgent is what peers are told when the configuration says nothing.
const defaultAgent = "image2ipfs"

// newMuxer is yamux with windows that suit many streams in little memory.
func newMuxer() *yamux.Transport {
	t := *yamux.DefaultTransport
	t.MaxStreamWindowSize = maxWindow
	return &t
}

// newResourceManager bounds what connections take. Buffers of streams that peers open
// hold memory bytes, and those of the own half as much. More than high connections are
// some that are on their way, or about to be closed. How many streams there are is
// for [fairStreams] to say, also while it is not known what they are for.
func newResourceManager(memory int64, high int) (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	limitServices(&scaling)
	scaling.SystemBaseLimit.Memory = memory / 2 * 3
	transient := &scaling.TransientBaseLimit
	transient.Memory, transient.StreamsInbound, transient.Streams = memory, int(2*memory/streamCost), int(4*memory/streamCost)
	scaling.SystemBaseLimit.FD = max(maxFiles, 2*high)
	scaling.SystemBaseLimit.ConnsInbound, scaling.SystemBaseLimit.Conns = 2*high, 4*high
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(scaling.Scale(0, 0)),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithConnRateLimiters(newConnRates()),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: maxPerAddress}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: maxPerAddress}}),
		rcmgr.WithNetworkPrefixLimit(
			[]rcmgr.NetworkPrefixLimit{{Network: loopback4, ConnCount: 2 * high}},
			[]rcmgr.NetworkPrefixLimit{{Network: loopback6, ConnCount: 2 * high}}))
}

// newConnRates bounds how fast an address may connect. libp2p's default, 16 and
// then one in five seconds, is less than what pulls need that come one after the
// other, each with an ID of its own.
func newConnRates() *rate.Limiter {
	each := rate.Limit{RPS: connsPerSecond, Burst: 2 * maxPerAddress}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{{Prefix: loopback4}, {Prefix: loopback6}}, // without a limit
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: each}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: each}},
			GracePeriod:      time.Minute,
		},
	}
}

var loopback4, loopback6 = netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")

// announced leaves out loopback addresses, unless the node has no others.
func announced(addrs []ma.Multiaddr) []ma.Multiaddr {
	others := slices.DeleteFunc(slices.Clone(addrs), manet.IsIPLoopback)
	if len(others) == 0 {
		return addrs
	}
	return others
}

// rankDials is libp2p's order of dialing, but on private addresses TCP goes first.
func rankDials(addrs []ma.Multiaddr) []network.AddrDelay {
	private := func(a ma.Multiaddr) bool { return manet.IsPrivateAddr(a) && !isRelayed(a) }
	isTCP := func(a ma.Multiaddr) bool {
		_, err := a.ValueForProtocol(ma.P_TCP)
		return err == nil
	}
	if !slices.ContainsFunc(addrs, func(a ma.Multiaddr) bool { return private(a) && isTCP(a) }) {
		return swarm.DefaultDialRanker(addrs)
	}
	var first, rest []ma.Multiaddr
	for _, a := range addrs {
		if private(a) && isTCP(a) {
			first = append(first, a)
		} else {
			rest = append(rest, a)
		}
	}
	order := swarm.DefaultDialRanker(first)
	for _, d := range swarm.DefaultDialRanker(rest) {
		order = append(order, network.AddrDelay{Addr: d.Addr, Delay: d.Delay + tcpLead})
	}
	return order
}

func isRelayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}
