//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	bsmsg "github.com/ipfs/boxo/bitswap/message"
	pb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
)

// want asks for a block by bitswap, on a stream of this program's or of others.
func want(s io.Writer, c cid.Cid) error {
	m := bsmsg.New(true)
	m.AddEntry(c, 1, pb.Message_Wantlist_Block, false)
	return m.ToNetV1(s)
}

// wantAndTakeNothing asks for a block by bitswap, which comes on a stream that nobody
// reads, see newPeer.
func (t *aim) wantAndTakeNothing(ctx context.Context) {
	t.peers(ctx, 60, 1, bsnet.ProtocolBitswap, func(ctx context.Context, s io.ReadWriteCloser) error {
		for ctx.Err() == nil {
			if err := want(s, t.Leaf); err != nil {
				return err
			}
			pause(ctx, time.Second)
		}
		return nil
	})
}

// honestBitswap gets a block by bitswap again and again until ctx is done, each time as
// another peer, none of which may wait longer than others do that speak this program's
// own protocol.
func (t *target) honestBitswap(ctx context.Context) error {
	for ctx.Err() == nil {
		began := time.Now()
		if err := t.oneByBitswap(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("an honest peer by bitswap, after %s: %w", time.Since(began).Round(time.Millisecond), err)
		}
		pause(ctx, 200*time.Millisecond)
	}
	return nil
}

func (t *target) oneByBitswap(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.meeting)
	defer cancel()
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.DisableRelay())
	if err != nil {
		return err
	}
	defer h.Close()
	got := make(chan struct{}, 1)
	h.SetStreamHandler(bsnet.ProtocolBitswap, func(s network.Stream) {
		defer s.Close()
		m, _, err := bsmsg.FromNet(s)
		if err != nil {
			return // the stream was cut, and no block has come
		}
		for _, b := range m.Blocks() {
			if b.Cid().Equals(t.Leaf) {
				got <- struct{}{}
			}
		}
	})
	if err := h.Connect(ctx, *t.Peer); err != nil {
		return err
	}
	s, err := h.NewStream(ctx, t.Peer.ID, bsnet.ProtocolBitswap)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := want(s, t.Leaf); err != nil {
		return err
	}
	select {
	case <-got:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("block %s has not come: %w", t.Leaf, ctx.Err())
	}
}
