package p2p

import (
	"context"
	"fmt"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// HasDHT tells whether the node takes part in a DHT, where values can be found and kept.
func (n *Node) HasDHT() bool { return n.dht != nil }

// quorum is how many peers are heard before the best value there is counts as found, as
// Kubo has it for records of IPNS: any of them may have kept an older one.
const quorum = 16

// Values finds the best value of a key in the DHT, such as the record of an IPNS name
// ("/ipns/" and its multihash), which the DHT has checked, and nobody here: yield is given
// each that is better than those before, until enough peers have answered or ctx ends.
// Errors match [ipfs.ErrNotFound] when nobody has one, [ipfs.ErrUnavailable] when there is
// nobody to ask, or nobody answers.
func (n *Node) Values(ctx context.Context, key string, yield func([]byte)) error {
	values, err := n.values()
	if err != nil {
		return err
	}
	better, err := values.SearchValue(ctx, key, dht.Quorum(quorum))
	if err != nil {
		return fmt.Errorf("%w: the DHT: %w", ipfs.ErrUnavailable, err)
	}
	found := false
	for value := range better { // closed when ctx ends
		found = true
		yield(value)
	}
	switch {
	case found:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: the DHT: %w", ipfs.ErrUnavailable, context.Cause(ctx))
	}
	return fmt.Errorf("%w: nobody in the DHT has it", ipfs.ErrNotFound)
}

// PutValue has the peers of the DHT keep a value that is nearest to its key. Errors match
// [ipfs.ErrUnavailable].
func (n *Node) PutValue(ctx context.Context, key string, value []byte) error {
	values, err := n.values()
	if err != nil {
		return err
	}
	if err := values.PutValue(ctx, key, value); err != nil {
		return fmt.Errorf("%w: the DHT: %w", ipfs.ErrUnavailable, err)
	}
	return nil
}

func (n *Node) values() (routing.ValueStore, error) {
	values, ok := n.dht.(routing.ValueStore)
	if !ok {
		return nil, fmt.Errorf("%w: this node takes part in no DHT", ipfs.ErrUnavailable)
	}
	return values, nil
}
