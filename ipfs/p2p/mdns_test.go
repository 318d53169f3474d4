package p2p

import (
	"strconv"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

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
