package p2p

import (
	"context"
	"errors"
	"fmt"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// HasDHT tells whether the node takes part in a DHT, where values can be found and kept.
func (n *Node) HasDHT() bool { return n.dht != nil }

// Value finds the best value of a key in the DHT, such as the record of an IPNS name
// ("/ipns/" and its multihash), which the DHT has checked, and nobody here. Errors match
// [ipfs.ErrNotFound] when nobody has one, [ipfs.ErrUnavailable] when there is nobody to
// ask.
func (n *Node) Value(ctx context.Context, key string) ([]byte, error) {
	values, err := n.values()
	if err != nil {
		return nil, err
	}
	data, err := values.GetValue(ctx, key, dht.Quorum(1))
	if errors.Is(err, routing.ErrNotFound) {
		return nil, fmt.Errorf("%w: nobody in the DHT has it", ipfs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the DHT: %w", ipfs.ErrUnavailable, err)
	}
	return data, nil
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
