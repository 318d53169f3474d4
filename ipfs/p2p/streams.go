package p2p

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// streamCost is what a stream may hold that nobody reads: its first window.
const streamCost = 256 << 10

// fairStreams are resource limits under which no origin has all streams, however many
// identities it has: what it opens beyond its share is refused.
type fairStreams struct {
	network.ResourceManager
	memory *budget.Share
	host   atomic.Pointer[host.Host] // nil before there is one
}

// OpenStream implements [network.ResourceManager].
func (f *fairStreams) OpenStream(id peer.ID, dir network.Direction) (network.StreamManagementScope, error) {
	scope, err := f.ResourceManager.OpenStream(id, dir)
	if err != nil || dir != network.DirInbound {
		return scope, err
	}
	from := id.String()
	if h := f.host.Load(); h != nil {
		from = originOf(*h, id)
	}
	release, ok := f.memory.Try(budget.With(context.Background(), &budget.Holder{Origin: from}), streamCost)
	if !ok {
		scope.Done()
		return nil, fmt.Errorf("a stream of %s: too many of %s are open: %w", id, from, network.ErrResourceLimitExceeded)
	}
	return &countedStream{scope, release}, nil
}

// countedStream gives back its place at the end.
type countedStream struct {
	network.StreamManagementScope
	release func()
}

// Done implements [network.StreamManagementScope].
func (s *countedStream) Done() {
	s.StreamManagementScope.Done()
	s.release()
}
