package p2p

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/peering"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// dialTimeout bounds one attempt to connect to a peer.
const dialTimeout = 10 * time.Second

// PeerInfo tells of a connected peer.
type PeerInfo struct {
	ID        string        `json:"id"`
	Addr      string        `json:"addr"`      // multiaddr of the connection
	Agent     string        `json:"agent"`     // what the peer says that it is; may be empty
	Protocols []string      `json:"protocols"` // how blocks can be had: "image2ipfs", "bitswap"
	Latency   time.Duration `json:"latency"`   // nanoseconds; 0 when not measured
}

var bitswapProtocols = []protocol.ID{
	bsnet.ProtocolBitswap, bsnet.ProtocolBitswapOneOne, bsnet.ProtocolBitswapOneZero, bsnet.ProtocolBitswapNoVers,
}

// Connected lists the connected peers by ID.
func (n *Node) Connected() []PeerInfo {
	infos := []PeerInfo{}
	for _, id := range n.host.Network().Peers() {
		conns := n.host.Network().ConnsToPeer(id)
		if len(conns) == 0 {
			continue
		}
		info := PeerInfo{ID: id.String(), Addr: conns[0].RemoteMultiaddr().String(), Protocols: []string{}}
		if agent, err := n.host.Peerstore().Get(id, "AgentVersion"); err == nil {
			text, _ := agent.(string)
			info.Agent = printable(text)
		}
		if n.speaks(id, Protocol) {
			info.Protocols = append(info.Protocols, "image2ipfs")
		}
		if n.speaks(id, bitswapProtocols...) {
			info.Protocols = append(info.Protocols, "bitswap")
		}
		info.Latency = n.host.Peerstore().LatencyEWMA(id)
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b PeerInfo) int { return strings.Compare(a.ID, b.ID) })
	return infos
}

// measure takes the latency of each peer once it is known.
func (n *Node) measure(identified event.Subscription) {
	defer identified.Close()
	for {
		select {
		case <-n.ctx.Done():
			return
		case e := <-identified.Out():
			known, ok := e.(event.EvtPeerIdentificationCompleted)
			if !ok {
				continue
			}
			n.task(func() {
				ctx, cancel := context.WithTimeout(n.ctx, dialTimeout)
				defer cancel()
				<-ping.Ping(ctx, n.host, known.Peer) // it records what it measures
			})
		}
	}
}

// printable is what a peer says of itself without what would confuse a terminal.
func printable(text string) string {
	const most = 100 // characters
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most])
	}
	return text
}

// connect dials the static peers now, and again whenever one is lost, each
// time after a longer pause.
func (n *Node) connect(peers []peer.AddrInfo) error {
	n.peering = peering.NewPeeringService(n.host)
	n.static = map[peer.ID]bool{}
	for _, p := range peers {
		n.static[p.ID] = true
		n.peering.AddPeer(p)
	}
	if err := n.peering.Start(); err != nil {
		return err
	}
	n.onClose(func() error { n.peering.Stop(); return nil })
	n.task(func() {
		defer close(n.dialed)
		var all sync.WaitGroup
		for _, p := range peers {
			all.Go(func() {
				if err := n.dial(n.ctx, p); err != nil && n.ctx.Err() == nil {
					err = n.explained(err)
					n.unreached.note("peer "+p.ID.String(), err)
					n.log.Warn("peer does not answer; it is tried again", "peer", p.ID.String(), "addrs", p.Addrs, "error", err)
				}
			})
		}
		all.Wait()
	})
	return nil
}

// dial connects to a peer and waits until it has said what it speaks.
func (n *Node) dial(ctx context.Context, p peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return n.host.Connect(ctx, p)
}

// readyTimeout bounds how long [Node.Ready] waits for a peer.
const readyTimeout = 10 * time.Second

// Ready waits until there is somebody to ask for blocks, for at most ten
// seconds, and no longer than a peer can still come. The error matches
// [ipfs.ErrUnavailable], or is ctx's.
func (n *Node) Ready(ctx context.Context) error {
	found, err := n.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return err
	}
	defer found.Close()
	limit := time.NewTimer(readyTimeout)
	defer limit.Stop()
	dialed, allDialed := n.dialed, false
	for !n.ready(allDialed) {
		if allDialed && !n.seeking && len(n.host.Network().Peers()) == 0 {
			return fmt.Errorf("%w: none of the peers answers%s", ipfs.ErrUnavailable, n.unreached.text())
		}
		select {
		case <-found.Out():
		case <-dialed:
			dialed, allDialed = nil, true
		case <-limit.C:
			return fmt.Errorf("%w: no peer was found within %s%s", ipfs.ErrUnavailable, readyTimeout, n.unreached.text())
		case <-n.ctx.Done():
			return fmt.Errorf("%w: the node is closed", ipfs.ErrUnavailable)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if n.local {
		settle(ctx, found)
	}
	return nil
}

// Awaited is an error while nobody is connected who gives blocks, though peers at fixed
// addresses, behind names or on the local network are to be: it matches
// [ipfs.ErrUnavailable], and is nil else.
func (n *Node) Awaited() error {
	if !n.expects || n.ready(false) {
		return nil
	}
	return fmt.Errorf("%w: no peer is connected yet, of those that this machine is to have or to find: try again, or see image2ipfs peers and doctor there", ipfs.ErrUnavailable)
}

// On the local network, several answer one question; one of them may be
// another process of this machine, which is the fastest and has nothing more.
const (
	quietTime   = 300 * time.Millisecond // without another peer, and all have answered
	settleLimit = 2 * time.Second
)

// settle waits until no more peers come.
func settle(ctx context.Context, found event.Subscription) {
	quiet, limit := time.NewTimer(quietTime), time.NewTimer(settleLimit)
	defer quiet.Stop()
	defer limit.Stop()
	for {
		select {
		case <-found.Out():
			quiet.Reset(quietTime)
		case <-quiet.C:
			return
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// ready tells whether a connected peer gives blocks, or, once the static peers
// were dialed, whether there is a way to find others.
func (n *Node) ready(allDialed bool) bool {
	peers := n.host.Network().Peers()
	for _, id := range peers {
		if n.speaks(id, Protocol) || n.speaks(id, bitswapProtocols...) {
			return true
		}
	}
	return allDialed && (n.delegated || n.dht != nil && len(peers) > 0)
}

// connectSome dials peers as they are found and calls stop when enough have
// answered; found must be closed then. It gives how many have.
func (n *Node) connectSome(ctx context.Context, stop func(), found <-chan peer.AddrInfo) int {
	var mu sync.Mutex
	connected := map[peer.ID]bool{}
	var dials errgroup.Group
	dials.SetLimit(maxDials)
	for p := range found {
		if p.ID == n.host.ID() || ctx.Err() != nil {
			continue
		}
		dials.Go(func() error {
			err := n.dialProvider(ctx, p)
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					n.log.Debug("provider does not answer", "peer", p.ID.String(), "error", err)
				}
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if connected[p.ID] = true; len(connected) == 1 {
				time.AfterFunc(moreProviders, stop)
			}
			if len(connected) >= enoughProviders {
				stop()
			}
			return nil
		})
	}
	_ = dials.Wait() // dials do not fail the group
	return len(connected)
}

const (
	// maxDials is how many providers are dialed at once.
	maxDials = 8
	// With enoughProviders connected, or moreProviders after the first, the
	// search ends.
	enoughProviders = 4
	moreProviders   = 2 * time.Second
)

func (n *Node) dialProvider(ctx context.Context, p peer.AddrInfo) error {
	if n.host.Network().Connectedness(p.ID) == network.Connected {
		return nil
	}
	if len(p.Addrs) == 0 && n.dht != nil {
		known, err := n.dht.FindPeer(ctx, p.ID)
		if err != nil {
			return err
		}
		p = known
	}
	return n.dial(ctx, p)
}
