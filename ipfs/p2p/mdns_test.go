package p2p

import (
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/zeroconf/v2"
	ma "github.com/multiformats/go-multiaddr"
)

// A network interface that goes away, or has no multicast after all, does not
// keep a node from ending.
func TestBrowseFails(t *testing.T) {
	n := start(t, Config{})
	f := &finder{node: n}
	if err := f.browse([]net.Interface{{Index: 1 << 30, Name: "nowhere"}}, zeroconf.IPv4); err == nil {
		t.Error("peers are looked for on an interface that is not there")
	}
}

// What one node tells of itself leads another, and Kubo, to it.
func TestRecords(t *testing.T) {
	id := start(t, Config{}).host.ID()
	var addrs []ma.Multiaddr
	for _, a := range []string{"/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.1/udp/4001/quic-v1", "/ip6/2001:db8::1/tcp/4001", "/dns4/example.com/tcp/4001"} {
		addrs = append(addrs, ma.StringCast(a))
	}
	ips, records, err := mdnsRecords(id, addrs)
	if err != nil || !slices.Equal(ips, []string{"192.0.2.1"}) {
		t.Errorf("IPs %q, %v", ips, err)
	}
	found := entryPeers(records)
	if len(found) != 1 || found[0].ID != id || !slices.EqualFunc(found[0].Addrs, addrs[:3], ma.Multiaddr.Equal) {
		t.Errorf("found %v", found)
	}
	if _, _, err := mdnsRecords(id, addrs[3:]); err == nil {
		t.Error("a node is announced that listens on no address")
	}
}

// Peers that are found again and again leave room for others, up to the bound.
func TestFoundPeersAreKeptOnce(t *testing.T) {
	f := &finder{kept: map[peer.ID]bool{}}
	for range 2 * maxFound {
		if !f.keeps("one") {
			t.Fatal("a peer that is kept is found again, and not kept any more")
		}
	}
	for i := range maxFound - 1 {
		if !f.keeps(peer.ID(strconv.Itoa(i))) {
			t.Fatalf("peer %d is not kept", i)
		}
	}
	if f.keeps("another") {
		t.Errorf("more than %d peers are kept", maxFound)
	}
}
