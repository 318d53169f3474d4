package p2p

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/sync/errgroup"
)

const (
	// namedScheme is what the name of many peers begins with, in place of a multiaddr.
	namedScheme = "dns:"
	// namedPort is where peers behind a name listen that says no port.
	namedPort = 4001
	// namedInterval is how often names are resolved anew.
	namedInterval = 30 * time.Second
	// maxNamed is to how many of the addresses behind names a node connects. Each
	// node takes others, so that all of a large cluster are joined all the same.
	maxNamed = 48
	// fewNamed is of how many addresses a name is at most whose peers all nodes connect
	// to, such as that of a registry alone among a thousand mirrors.
	fewNamed = 8
)

// dnsName is a name whose addresses are peers, such as that of a headless Service.
type dnsName struct {
	host string
	port uint16
}

func (d dnsName) String() string {
	return namedScheme + net.JoinHostPort(d.host, strconv.Itoa(int(d.port)))
}

// parseNames takes what begins with dns: out of the texts of peers.
func parseNames(texts []string) (names []dnsName, rest []string, err error) {
	for _, text := range texts {
		name, ok := strings.CutPrefix(text, namedScheme)
		if !ok {
			rest = append(rest, text)
			continue
		}
		host, port, found := strings.Cut(name, ":")
		number, err := uint64(namedPort), error(nil)
		if found {
			number, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil || host == "" || number == 0 || strings.ContainsAny(host, "/ ") {
			return nil, nil, fmt.Errorf("%w: peers %q: want a name and perhaps a port, such as dns:image2ipfs-peers.image2ipfs.svc or dns:peers.local:4001", ErrConfig, text)
		}
		names = append(names, dnsName{host, uint16(number)})
	}
	return names, rest, nil
}

// follower keeps a node connected to those behind names. It belongs to one goroutine.
type follower struct {
	node     *Node
	resolver *net.Resolver
	names    []dnsName
	found    map[dnsName][]ma.Multiaddr // by the last answer that there was
	ids      map[string]peer.ID         // of those behind addresses, the own one too
	kept     map[peer.ID][]ma.Multiaddr // who is to stay connected
	troubles map[string]string          // by name or address: what the log was told
}

// follow resolves names now and then, until the node ends.
func (n *Node) follow(cfg Config, names []dnsName) {
	f := &follower{
		node: n, resolver: cmp.Or(cfg.Resolver, net.DefaultResolver), names: names,
		found: map[dnsName][]ma.Multiaddr{}, ids: map[string]peer.ID{}, kept: map[peer.ID][]ma.Multiaddr{}, troubles: map[string]string{},
	}
	n.task(func() {
		again := time.NewTicker(cmp.Or(cfg.namedInterval, namedInterval))
		defer again.Stop()
		for n.ctx.Err() == nil {
			f.refresh(n.ctx)
			select {
			case <-again.C:
			case <-n.ctx.Done():
			}
		}
	})
}

// refresh connects to who has come and lets go of who has gone.
func (f *follower) refresh(ctx context.Context) {
	for _, name := range f.names {
		addrs, err := f.lookup(ctx, name)
		if f.trouble(name.String(), err); err == nil {
			f.found[name] = addrs
		}
	}
	addrs := f.chosen()
	f.learnAll(ctx, addrs)
	now := map[peer.ID][]ma.Multiaddr{}
	for _, a := range addrs {
		if id := f.ids[a.String()]; id != "" && id != f.node.host.ID() {
			now[id] = append(now[id], a)
		}
	}
	for id := range f.kept {
		if now[id] == nil && !f.node.static[id] {
			f.node.peering.RemovePeer(id)
		}
	}
	f.keep(ctx, now)
}

// keep connects to peers that are new or have moved, and has them dialed again when
// they are lost. The peering service alone would begin after some seconds.
func (f *follower) keep(ctx context.Context, now map[peer.ID][]ma.Multiaddr) {
	var dials errgroup.Group
	dials.SetLimit(maxDials)
	for id, at := range now {
		if slices.EqualFunc(at, f.kept[id], ma.Multiaddr.Equal) || f.node.static[id] {
			continue
		}
		p := peer.AddrInfo{ID: id, Addrs: at}
		f.node.peering.AddPeer(p)
		dials.Go(func() error {
			if err := f.node.dial(ctx, p); err != nil && ctx.Err() == nil {
				f.node.log.Debug("peer behind a name does not answer; it is tried again", "peer", id.String(), "error", err)
			}
			return nil
		})
	}
	_ = dials.Wait() // dials do not fail the group
	f.kept = now
}

// lookup gives the addresses behind a name.
func (f *follower) lookup(ctx context.Context, name dnsName) (addrs []ma.Multiaddr, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	ips, err := f.resolver.LookupNetIP(ctx, "ip", name.host)
	for _, ip := range ips {
		a, err := manet.FromNetAddr(net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), name.port)))
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, a)
	}
	return addrs, err
}

// chosen are the addresses that this node connects to: all, or of many those of names
// of few, and of the others those whose hash with the node's own ID is the lowest.
func (f *follower) chosen() (addrs []ma.Multiaddr) {
	place := map[string]uint64{}
	for _, found := range f.found {
		for _, a := range found {
			sum := sha256.Sum256([]byte(string(f.node.host.ID()) + a.String()))
			if _, known := place[a.String()]; !known {
				addrs = append(addrs, a)
				place[a.String()] = binary.BigEndian.Uint64(sum[:])
			}
		}
	}
	for _, found := range f.found {
		for _, a := range found {
			if len(found) <= fewNamed {
				place[a.String()] = 0
			}
		}
	}
	slices.SortFunc(addrs, func(a, b ma.Multiaddr) int { return cmp.Compare(place[a.String()], place[b.String()]) })
	return addrs[:min(len(addrs), maxNamed)]
}

// learnAll finds out who is behind the addresses whose peers are not connected, and
// forgets the addresses that are gone: the next who has one may be another peer.
func (f *follower) learnAll(ctx context.Context, addrs []ma.Multiaddr) {
	ids := make([]peer.ID, len(addrs))
	errs := make([]error, len(addrs))
	var dials errgroup.Group
	dials.SetLimit(maxDials)
	for i, a := range addrs {
		id := f.ids[a.String()]
		if id != "" && (id == f.node.host.ID() || f.node.host.Network().Connectedness(id) == network.Connected) {
			ids[i] = id
			continue
		}
		dials.Go(func() error {
			ids[i], errs[i] = f.node.learn(ctx, a)
			return nil
		})
	}
	_ = dials.Wait() // dials do not fail the group
	known := map[string]peer.ID{}
	for i, a := range addrs {
		f.trouble(a.String(), errs[i])
		known[a.String()] = cmp.Or(ids[i], f.ids[a.String()])
	}
	f.ids = known
}

// trouble tells of what fails once, and not again before it is another thing.
func (f *follower) trouble(of string, err error) {
	if err == nil || f.node.ctx.Err() != nil {
		delete(f.troubles, of)
		f.node.unreached.forget(of)
		return
	}
	err = f.node.explained(err)
	f.node.unreached.note(of, err)
	if f.troubles[of] != err.Error() {
		f.troubles[of] = err.Error()
		f.node.log.Warn("peers behind a name are not reached; they are tried again", "at", of, "error", err)
	}
}

// learn asks whoever is at an address for its ID: the handshake proves it, and
// fails for the sake of the other ID that is asked for here.
func (n *Node) learn(ctx context.Context, a ma.Multiaddr) (peer.ID, error) {
	dialers, ok := n.host.Network().(interface {
		TransportForDialing(a ma.Multiaddr) transport.Transport
	})
	if !ok {
		return "", errors.New("this host cannot dial an address without a peer's ID")
	}
	over := dialers.TransportForDialing(a)
	if over == nil {
		return "", fmt.Errorf("nothing dials %s", a)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := over.Dial(ctx, a, nobody)
	if err == nil {
		return nobody, errors.Join(errors.New("a peer has the ID that nobody has"), conn.Close())
	}
	if other, ok := errors.AsType[sec.ErrPeerIDMismatch](err); ok {
		return other.Actual, nil
	}
	return "", err
}

// nobody is the ID of no key: the hash of nothing that a key could be.
var nobody = func() peer.ID {
	sum := sha256.Sum256([]byte("image2ipfs: nobody"))
	return peer.ID("\x12\x20" + string(sum[:])) // a sha2-256 multihash
}()
