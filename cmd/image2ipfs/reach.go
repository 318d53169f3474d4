package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

// reach is the network of an exchange: a node, which exists only after the
// exchange whose handler it has.
type reach struct{ node atomic.Pointer[p2p.Node] }

// newExchange makes an exchange of what is in here with the peers of a node that
// is yet to be given to the reach.
func newExchange(here local, log *slog.Logger) (*exchange.Exchange, *reach) {
	r := &reach{}
	return exchange.New(exchange.Config{Network: r, Store: here, Logger: log}), r
}

// Self is the node's ID.
func (r *reach) Self() string {
	if n := r.node.Load(); n != nil {
		return n.ID()
	}
	return ""
}

// Peers are the connected peers that run this program.
func (r *reach) Peers() []exchange.Peer {
	n := r.node.Load()
	if n == nil {
		return nil
	}
	var peers []exchange.Peer
	for _, p := range n.Peers() {
		peers = append(peers, p)
	}
	return peers
}

// Blocks gets blocks by bitswap, when there is a peer that speaks nothing else.
func (r *reach) Blocks(ctx context.Context, cids []cid.Cid, yield func(c cid.Cid, data []byte) error) error {
	n := r.node.Load()
	if n == nil || !slices.ContainsFunc(n.Connected(), onlyBitswap) {
		return fmt.Errorf("%w: no peer speaks bitswap alone", errors.ErrUnsupported)
	}
	return n.Blocks(ctx, cids, yield)
}

func onlyBitswap(p p2p.PeerInfo) bool {
	return slices.Contains(p.Protocols, "bitswap") && !slices.Contains(p.Protocols, "image2ipfs")
}

// Find connects to providers of c.
func (r *reach) Find(ctx context.Context, c cid.Cid) error {
	n := r.node.Load()
	if n == nil {
		return fmt.Errorf("%w: the node has not started", ipfs.ErrUnavailable)
	}
	return n.Find(ctx, c)
}
