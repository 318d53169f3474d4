package p2p

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

const (
	// idleMessages is how long a stream may be silent between messages.
	idleMessages = 2 * time.Minute
	// A message has startMessage and what it takes at slowestMessage, in bytes a
	// second; whoever announces one and sends nothing holds its memory no longer.
	startMessage   = 5 * time.Second
	slowestMessage = 256 << 10
	// smallMessage is the largest that costs nothing: who asks for a few blocks
	// waits for nobody.
	smallMessage = 16 << 10
	// roomPatience is how long one waits for the memory of its message.
	roomPatience = 5 * time.Second
)

// bounded is a host whose incoming streams carry messages, each behind its length
// as an unsigned varint, as bitswap has them. Their memory is allocated when the
// length has come, so that is when it is taken from the share of messages: nobody
// holds memory by what he announces for longer than it takes to send it.
// What goes out is bounded by [outgoing].
type bounded struct {
	host.Host
	memory *budget.Share
	out    *outgoing
}

func (b bounded) SetStreamHandler(id protocol.ID, handler network.StreamHandler) {
	b.Host.SetStreamHandler(id, func(s network.Stream) {
		m := &messages{Stream: s, memory: b.memory, origin: origin(s.Conn().RemoteMultiaddr())}
		defer m.done()
		handler(m)
	})
}

// messages is a stream that knows where its messages begin and end.
type messages struct {
	network.Stream
	memory  *budget.Share
	origin  string
	moved   atomic.Int64 // when bytes of a message last came; Unix nanoseconds
	prefix  []byte       // of a length that has not come wholly
	left    int64        // bytes of the message that comes
	due     time.Time    // by when it must have come
	release func()       // its memory; nil for none
}

func (m *messages) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if m.left > 0 {
		_ = m.SetReadDeadline(m.due) // fails for closed streams, which Read tells
		n, err = m.Stream.Read(p[:min(int64(len(p)), m.left)])
		m.moved.Store(time.Now().UnixNano())
		if m.left -= int64(n); m.left == 0 || err != nil {
			m.done()
		}
		return n, err
	}
	if len(m.prefix) == 0 {
		_ = m.SetReadDeadline(time.Now().Add(idleMessages))
	}
	if n, err = m.Stream.Read(p[:1]); n == 0 {
		return n, err
	}
	m.prefix = append(m.prefix, p[0])
	if p[0] >= 0x80 {
		if len(m.prefix) > binary.MaxVarintLen64 {
			return 0, fmt.Errorf("the length of a message has more than %d bytes", binary.MaxVarintLen64)
		}
		return n, err
	}
	size, _ := binary.Uvarint(m.prefix)
	m.prefix = m.prefix[:0]
	if size > network.MessageSizeMax {
		return n, err // refused by whoever reads it, before memory is allocated
	}
	if err := m.begin(int64(size)); err != nil {
		return 0, err // with the last byte, which a reader might be content with
	}
	return n, nil
}

// begin takes memory for a message of n bytes.
func (m *messages) begin(n int64) (err error) {
	m.left, m.due = n, time.Now().Add(startMessage+time.Duration(n)*time.Second/slowestMessage)
	if n <= smallMessage {
		return nil
	}
	m.moved.Store(time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(budget.With(context.Background(), &budget.Holder{
		Origin: m.origin, Moved: func() time.Time { return time.Unix(0, m.moved.Load()) },
		Cut: func() { _ = m.Reset() }, // its reader sees the end
	}), roomPatience)
	defer cancel()
	if m.release, err = m.memory.Take(ctx, n); err != nil {
		return err
	}
	m.left, m.due = n, time.Now().Add(startMessage+time.Duration(n)*time.Second/slowestMessage)
	return nil
}

func (m *messages) done() {
	if m.release != nil {
		m.release()
		m.release = nil
	}
}

// origin is whom a share belongs to: an IPv4 address, or an IPv6 network of 64
// bits, of which one machine has all addresses.
func origin(a ma.Multiaddr) string {
	ip, err := manet.ToIP(a)
	if err != nil {
		return a.String()
	}
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return a.String()
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	block, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return block.String()
}

// Origin is where a connected peer is: the same for all IDs of one address, or of
// one IPv6 network of 64 bits. It is the ID of a peer that has gone.
func (n *Node) Origin(id string) string {
	decoded, err := peer.Decode(id)
	if err != nil {
		return id
	}
	return originOf(n.host, decoded)
}

func originOf(h host.Host, id peer.ID) string {
	for _, c := range h.Network().ConnsToPeer(id) {
		return origin(c.RemoteMultiaddr())
	}
	return id.String()
}
