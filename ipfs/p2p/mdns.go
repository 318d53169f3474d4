package p2p

import (
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/zeroconf/v2"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// maxFound bounds how many peers of the local network are kept connected.
	maxFound = lowWater

	mdnsDomain = "local"
	mdnsRecord = "dnsaddr=" // what a TXT record with a multiaddr begins with
	mdnsPort   = 4001       // there has to be one; libp2p only reads TXT records
	mdnsRetry  = time.Minute
)

// startMDNS finds peers on the local network under the name that Kubo uses, and
// tells them of this node when it listens. go-libp2p's own service is not used:
// its Close waits for ever where looking fails.
func (n *Node) startMDNS(listens bool) {
	f := &finder{node: n, listens: listens, kept: map[peer.ID]bool{}}
	n.task(f.run)
}

// finder connects to peers that were found, and keeps them connected.
type finder struct {
	node    *Node
	listens bool
	told    *zeroconf.Server // tells of the node; nil until it does
	mu      sync.Mutex
	kept    map[peer.ID]bool // up to maxFound, however often each is found
}

// run finds peers until the node ends. A machine may have no network yet, so
// what fails is tried again.
func (f *finder) run() {
	defer func() {
		if f.told != nil {
			f.told.Shutdown()
		}
	}()
	again := time.NewTicker(mdnsRetry)
	defer again.Stop()
	ctx, warned := f.node.ctx, false
	for {
		err := f.meet()
		if ctx.Err() != nil {
			return
		}
		if !warned {
			f.node.log.Warn("no peers are found on the local network (mDNS)", "error", err, "tried again every", mdnsRetry)
			warned = true
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// meet tells of the node and finds others until the node ends, or that fails.
func (f *finder) meet() (err error) {
	on, err := multicastInterfaces()
	if err != nil {
		return err
	}
	if f.listens && f.told == nil {
		if f.told, err = f.tell(on); err != nil {
			return err
		}
	}
	// Of IPv4 and IPv6, one may be switched off.
	for _, by := range []zeroconf.IPType{zeroconf.IPv4AndIPv6, zeroconf.IPv4, zeroconf.IPv6} {
		if err = f.browse(on, by); err == nil {
			return nil
		}
	}
	return err
}

// multicastInterfaces are those that mDNS can use, at least one. It is asked
// here because zeroconf writes to standard error when it finds none.
func multicastInterfaces() ([]net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	const usable = net.FlagUp | net.FlagMulticast
	all = slices.DeleteFunc(all, func(i net.Interface) bool { return i.Flags&usable != usable })
	if len(all) == 0 {
		return nil, errors.New("no network interface is up that can multicast")
	}
	return all, nil
}

// tell answers those who look for peers, with a name that says nothing.
func (f *finder) tell(on []net.Interface) (*zeroconf.Server, error) {
	addrs, err := f.node.host.Network().InterfaceListenAddresses()
	if err != nil {
		return nil, err
	}
	ips, records, err := mdnsRecords(f.node.host.ID(), announced(addrs))
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(rand.Text())
	return zeroconf.RegisterProxy(name, mdns.ServiceName, mdnsDomain, mdnsPort, name, ips, records, on)
}

// mdnsRecords gives what the local network is told of a node: TXT records, and
// IPs because there is no answer without.
func mdnsRecords(id peer.ID, addrs []ma.Multiaddr) (ips, records []string, err error) {
	for _, a := range addrs {
		ip, err := manet.ToIP(a)
		if err != nil || isRelayed(a) {
			continue
		}
		ips = append(ips, ip.String())
		records = append(records, mdnsRecord+a.String()+"/p2p/"+id.String())
	}
	if len(ips) == 0 {
		return nil, nil, errors.New("the node listens on no IP address of this machine")
	}
	return ips[:1], records, nil
}

// found connects to a peer. It is called in a goroutine of its own.
func (f *finder) found(p peer.AddrInfo) {
	n := f.node
	if p.ID == n.host.ID() || n.ctx.Err() != nil {
		return
	}
	if err := n.dial(n.ctx, p); err != nil {
		n.log.Debug("peer of the local network does not answer", "peer", p.ID.String(), "error", err)
	}
	if f.keeps(p.ID) {
		n.peering.AddPeer(p) // of one that is kept already, the addresses are replaced
	}
}

// keeps tells whether a peer is one of those that are kept connected.
func (f *finder) keeps(id peer.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kept) < maxFound {
		f.kept[id] = true
	}
	return f.kept[id]
}

// browse finds peers until the node ends, or that fails.
func (f *finder) browse(on []net.Interface, by zeroconf.IPType) error {
	n := f.node
	entries, browsed := make(chan *zeroconf.ServiceEntry, maxFound), make(chan error, 1)
	n.task(func() {
		browsed <- zeroconf.Browse(n.ctx, mdns.ServiceName, mdnsDomain, entries, zeroconf.SelectIfaces(on), zeroconf.SelectIPTraffic(by))
	})
	for {
		select {
		case entry, ok := <-entries:
			if !ok { // Browse is about to return
				entries = nil
				continue
			}
			for _, p := range entryPeers(entry.Text) {
				n.task(func() { f.found(p) })
			}
		case err := <-browsed: // when it cannot begin, entries stay open
			return err
		}
	}
}

// entryPeers reads the TXT records of libp2p's mDNS service.
func entryPeers(records []string) []peer.AddrInfo {
	var addrs []ma.Multiaddr
	for _, r := range records {
		text, ok := strings.CutPrefix(r, mdnsRecord)
		if !ok {
			continue
		}
		if a, err := ma.NewMultiaddr(text); err == nil {
			addrs = append(addrs, a)
		}
	}
	infos, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil
	}
	return infos
}
