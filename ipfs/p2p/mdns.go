package p2p

import (
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/zeroconf/v2"
	ma "github.com/multiformats/go-multiaddr"
)

// maxFound bounds how many peers of the local network are kept connected.
const maxFound = lowWater

// startMDNS finds peers on the local network under the name that Kubo uses, and
// tells them of this node when it listens.
func (n *Node) startMDNS(listens bool) error {
	f := &finder{node: n, kept: map[peer.ID]bool{}}
	if !listens {
		n.browse(f)
		return nil
	}
	service := mdns.NewMdnsService(n.host, mdns.ServiceName, f)
	if err := service.Start(); err != nil {
		return err
	}
	n.onClose(service.Close)
	return nil
}

// finder connects to peers that were found, and keeps them connected.
type finder struct {
	node *Node
	mu   sync.Mutex
	kept map[peer.ID]bool // up to maxFound, however often each is found
}

// HandlePeerFound implements mdns.Notifee. It is called in a goroutine of its own.
func (f *finder) HandlePeerFound(p peer.AddrInfo) {
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

// browse finds peers without telling of this node.
func (n *Node) browse(f *finder) {
	entries := make(chan *zeroconf.ServiceEntry, maxFound)
	n.task(func() {
		if err := zeroconf.Browse(n.ctx, mdns.ServiceName, "local", entries); err != nil && n.ctx.Err() == nil {
			n.log.Warn("looking for peers on the local network by mDNS", "error", err)
		}
	})
	n.task(func() {
		for entry := range entries {
			for _, p := range entryPeers(entry.Text) {
				n.task(func() { f.HandlePeerFound(p) })
			}
		}
	})
}

// entryPeers reads the TXT records of libp2p's mDNS service.
func entryPeers(records []string) []peer.AddrInfo {
	var addrs []ma.Multiaddr
	for _, r := range records {
		text, ok := strings.CutPrefix(r, "dnsaddr=")
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
