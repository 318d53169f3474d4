package p2p

import (
	"encoding/binary"
	"testing"

	"github.com/ipfs/boxo/bitswap/message"
	pb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/go-cid"
)

// A peer that wants more than anybody can want is not remembered beyond a
// bound, and keeps nobody else from being served.
func TestFloodOfWants(t *testing.T) {
	var have memory
	c := have.add([]byte("for the polite"))
	a := start(t, listening(Config{Blocks: &have}))
	flooder, polite := start(t, Config{Peers: a.Addrs()}), start(t, Config{Peers: a.Addrs()})
	ready(t, flooder)
	ready(t, polite)
	stream, err := flooder.host.NewStream(t.Context(), a.host.ID(), bsnet.ProtocolBitswap)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		m := message.New(false)
		for j := range 5000 {
			m.AddEntry(rawCID(binary.LittleEndian.AppendUint64(nil, uint64(i*5000+j))), 1, pb.Message_Wantlist_Block, false)
		}
		if err := m.ToNetV1(stream); err != nil {
			break // being cut off is fine
		}
	}
	if err := polite.Blocks(t.Context(), []cid.Cid{c}, func(cid.Cid, []byte) error { return nil }); err != nil {
		t.Error(err)
	}
	await(t, "wants of the flooder are taken", func() bool { return len(a.bitswap.WantlistForPeer(flooder.host.ID())) > 0 })
	if n := len(a.bitswap.WantlistForPeer(flooder.host.ID())); n > maxWanted {
		t.Errorf("%d wants of one peer are remembered, want at most %d", n, maxWanted)
	}
}
