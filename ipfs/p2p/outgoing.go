package p2p

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

const (
	// stillTime is how long a message may stand still while as many are being written
	// as ever are: others wait then.
	stillTime = 2 * time.Second
	// slowTime is for how long an origin whose message was cut has one at a time.
	slowTime = 30 * time.Second
	// lookEvery is how often it is looked whether others wait.
	lookEvery = 250 * time.Millisecond
	// outgoingPiece is what is written at once, in bytes.
	outgoingPiece = 16 << 10
	// maxSlow are the origins that are remembered as slow; where there are more all
	// are forgotten.
	maxSlow = 1000
)

// errSlow is about a message to a peer that takes none.
var errSlow = errors.New("it takes nothing of what it was sent before")

// outgoing are the messages with blocks that are being written to peers. Bitswap has few
// workers for that, each of which waits until its message is written: so their memory is
// taken from the share of answers, and peers that take nothing must not have all of them.
type outgoing struct {
	memory *budget.Share
	most   int // how many are written at once

	mu      sync.Mutex
	writing map[*outMessage]struct{}
	slow    map[string]time.Time // origins, and until when
}

func newOutgoing(memory *budget.Share, most int) *outgoing {
	return &outgoing{memory: memory, most: most, writing: map[*outMessage]struct{}{}, slow: map[string]time.Time{}}
}

// outMessage is one that is being written.
type outMessage struct {
	origin string
	moved  atomic.Int64 // when bytes of it were last taken; Unix nanoseconds
	cut    func()       // has its writer fail
}

func (m *outMessage) lastMoved() time.Time { return time.Unix(0, m.moved.Load()) }

// write writes a message by put, which takes a piece at a time. The error matches
// [budget.ErrFull] when there is no memory for it, or says that the origin is slow.
func (o *outgoing) write(m *outMessage, data []byte, put func(piece []byte) (int, error)) (n int, err error) {
	m.moved.Store(time.Now().UnixNano())
	if err := o.begin(m); err != nil {
		return 0, err
	}
	defer o.end(m)
	ctx, cancel := context.WithTimeout(budget.With(context.Background(), &budget.Holder{Origin: m.origin, Moved: m.lastMoved, Cut: m.cut}), stillTime)
	defer cancel()
	release, err := o.memory.Take(ctx, int64(len(data)))
	if err != nil {
		return 0, err
	}
	defer release()
	m.moved.Store(time.Now().UnixNano())
	stop := make(chan struct{})
	defer close(stop)
	go o.watch(m, stop)
	for n < len(data) {
		written, err := put(data[n:min(len(data), n+outgoingPiece)])
		m.moved.Store(time.Now().UnixNano())
		if n += written; err != nil {
			return n, err
		}
	}
	return n, nil
}

// begin notes a message, unless its origin is slow and has one already.
func (o *outgoing) begin(m *outMessage) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Now().Before(o.slow[m.origin]) {
		for other := range o.writing {
			if other.origin == m.origin {
				return fmt.Errorf("a message to a peer at %s: %w", m.origin, errSlow)
			}
		}
	}
	o.writing[m] = struct{}{}
	return nil
}

func (o *outgoing) end(m *outMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.writing, m)
}

// watch cuts a message that stands still while no more can be written.
func (o *outgoing) watch(m *outMessage, stop <-chan struct{}) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-stop:
			return
		case <-look.C:
		}
		if time.Since(m.lastMoved()) < stillTime {
			continue
		}
		o.mu.Lock()
		full := len(o.writing) >= o.most
		if full {
			delete(o.writing, m) // one is enough
			if len(o.slow) >= maxSlow {
				clear(o.slow)
			}
			o.slow[m.origin] = time.Now().Add(slowTime)
		}
		o.mu.Unlock()
		if full {
			m.cut()
			return
		}
	}
}

// NewStream opens a stream whose messages are written within bounds.
func (b bounded) NewStream(ctx context.Context, id peer.ID, protocols ...protocol.ID) (network.Stream, error) {
	s, err := b.Host.NewStream(ctx, id, protocols...)
	if err != nil {
		return nil, err
	}
	return &outgoingStream{s, b.out}, nil
}

// outgoingStream is a stream of which each write is a whole message, as bitswap's are.
type outgoingStream struct {
	network.Stream
	out *outgoing
}

// Write writes a message. One that is small waits for nobody.
func (s *outgoingStream) Write(p []byte) (int, error) {
	if len(p) <= smallMessage {
		return s.Stream.Write(p)
	}
	m := &outMessage{origin: origin(s.Conn().RemoteMultiaddr()), cut: func() { _ = s.Reset() }} // its writer sees it
	return s.out.write(m, p, s.Stream.Write)
}
