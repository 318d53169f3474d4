package p2p

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	// maxBatch is how many blocks are asked for at once; bitswap slows down
	// with 512 or more.
	maxBatch = 256
	// firstBatch is asked for before the size of the blocks is known.
	firstBatch = 16
	// batchBytes is what a batch aims at, once sizes are known.
	batchBytes = 8 << 20
	// What one peer may have in work: blocks on their way, in bytes, and
	// blocks that it waits for.
	maxOutstanding = 2 << 20
	maxWanted      = 1024
	// maxCID is the length of the longest CID that a peer may ask for, in bytes.
	maxCID = 100
	// messageBytes is how much is put into one message, so that small blocks travel together.
	messageBytes = 128 << 10
	// askAgain is after how long without a block those that miss are asked for anew.
	askAgain       = 10 * time.Second
	bitswapWorkers = 4
)

// startBitswap exchanges blocks with every IPFS node; nothing is given away
// when b is nil.
func (n *Node) startBitswap(b Blocks) {
	n.bitswap = bitswap.New(n.ctx, bsnet.NewFromIpfsHost(bounded{n.host, n.memory.Messages, newOutgoing(n.memory.Answers, bitswapWorkers)}), nil, view{b},
		bitswap.WithServerEnabled(b != nil),
		bitswap.EngineBlockstoreWorkerCount(bitswapWorkers),
		bitswap.EngineTaskWorkerCount(bitswapWorkers),
		bitswap.TaskWorkerCount(bitswapWorkers),
		bitswap.MaxOutstandingBytesPerPeer(maxOutstanding),
		bitswap.MaxQueuedWantlistEntriesPerPeer(maxWanted),
		bitswap.MaxCidSize(maxCID),
		bitswap.WithTargetMessageSize(messageBytes),
		bitswap.WithoutDuplicatedBlockStats())
	n.onClose(n.bitswap.Close)
}

// Blocks gets blocks by bitswap from whoever is connected, and calls yield for
// each as it comes, in any order, checked against its CID. It returns when all
// have come; since bitswap cannot know that a block is nowhere, it waits until
// ctx ends otherwise. Errors are those of ctx and of yield; without a connected
// peer that speaks bitswap and not [Protocol] the error matches
// [errors.ErrUnsupported] at once.
func (n *Node) Blocks(ctx context.Context, cids []cid.Cid, yield func(c cid.Cid, data []byte) error) error {
	if !slices.ContainsFunc(n.host.Network().Peers(), n.onlyBitswap) {
		return fmt.Errorf("%d blocks by bitswap: %w: no connected peer speaks that alone", len(cids), errors.ErrUnsupported)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	size, got, bytes := firstBatch, 0, 0
	for len(cids) > 0 {
		batch := cids[:min(size, len(cids))]
		cids = cids[len(batch):]
		for missing := cid.NewSet(); ; {
			for _, c := range batch {
				missing.Add(c)
			}
			err := n.batch(ctx, batch, func(c cid.Cid, data []byte) error {
				got, bytes = got+1, bytes+len(data)
				missing.Remove(c)
				return yield(c, data)
			})
			if err != nil {
				return err
			}
			if batch = missing.Keys(); len(batch) == 0 {
				break
			}
		}
		size = min(max(batchBytes*got/max(bytes, 1), 2), maxBatch)
	}
	return nil
}

// batch gets blocks in a session of its own, and returns when all have come or
// none has for [askAgain]: a session now and then forgets what it was asked for,
// mostly what is asked for when it has just got all of the batch before, and
// bitswap by itself would wait for ever.
func (n *Node) batch(ctx context.Context, batch []cid.Cid, yield func(c cid.Cid, data []byte) error) error {
	sessionCtx, end := context.WithCancel(ctx)
	defer end()
	from, err := n.bitswap.NewSession(sessionCtx).GetBlocks(sessionCtx, batch)
	if err != nil {
		return fmt.Errorf("asking for %d blocks by bitswap: %w", len(batch), err)
	}
	stalled := time.NewTimer(askAgain)
	defer stalled.Stop()
	for {
		select {
		case block, ok := <-from:
			if !ok {
				return ctx.Err()
			}
			if err := ipfs.VerifyBlock(block.Cid(), block.RawData()); err != nil {
				return err
			}
			if err := yield(block.Cid(), block.RawData()); err != nil {
				return err
			}
			stalled.Reset(askAgain)
		case <-stalled.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// onlyBitswap tells whether there is no other way to ask a peer for blocks.
func (n *Node) onlyBitswap(id peer.ID) bool {
	return n.speaks(id, bitswapProtocols...) && !n.speaks(id, Protocol)
}

// view shows Blocks to the bitswap server, which only reads.
type view struct{ blocks Blocks }

var errReadOnly = errors.New("blocks are not stored by way of bitswap")

func (v view) Has(ctx context.Context, c cid.Cid) (bool, error) {
	return v.blocks != nil && v.blocks.Has(ctx, c), nil
}

// Get hashes the block: a damaged one would be one that nobody has asked for,
// and who did would wait for ever.
func (v view) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	if v.blocks == nil {
		return nil, format.ErrNotFound{Cid: c}
	}
	data, err := v.blocks.Get(ctx, c)
	if err == nil {
		err = ipfs.VerifyBlock(c, data)
	}
	if err != nil {
		return nil, notFound(c, err)
	}
	return blocks.NewBlockWithCid(data, c)
}

func (v view) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	if v.blocks == nil {
		return 0, format.ErrNotFound{Cid: c}
	}
	size, err := v.blocks.Size(ctx, c)
	return int(size), notFound(c, err)
}

// notFound tells bitswap in its own words that a block is not there.
func notFound(c cid.Cid, err error) error {
	if errors.Is(err, ipfs.ErrNotFound) {
		return format.ErrNotFound{Cid: c}
	}
	return err
}

func (v view) Put(context.Context, blocks.Block) error             { return errReadOnly }
func (v view) PutMany(context.Context, []blocks.Block) error       { return errReadOnly }
func (v view) DeleteBlock(context.Context, cid.Cid) error          { return errReadOnly }
func (v view) AllKeysChan(context.Context) (<-chan cid.Cid, error) { return nil, errReadOnly }
