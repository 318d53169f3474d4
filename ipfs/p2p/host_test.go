package p2p

import (
	"strconv"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Machines behind one router, and pulls one after the other, can connect up to
// the number that is promised; more are refused.
func TestConnectionsOfOneAddress(t *testing.T) {
	limits, err := newResourceManager(64<<20, highWater)
	if err != nil {
		t.Fatal(err)
	}
	defer limits.Close()
	from := ma.StringCast("/ip4/192.0.2.1/tcp/4001")
	for i := range maxPerAddress {
		gone, err := limits.OpenConnection(network.DirInbound, true, from)
		if err != nil {
			t.Fatalf("connection %d, when the one before has ended: %v", i, err)
		}
		gone.Done()
	}
	for i := range maxPerAddress {
		c, err := limits.OpenConnection(network.DirInbound, true, from)
		if err == nil {
			err = c.SetPeer(peer.ID(strconv.Itoa(i)))
		}
		if err != nil {
			t.Fatalf("connection %d beside the others: %v", i, err)
		}
	}
	if _, err := limits.OpenConnection(network.DirInbound, true, from); err == nil {
		t.Errorf("more than %d", maxPerAddress)
	}
}
