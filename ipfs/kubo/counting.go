package kubo

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Counting is the store with transactions that tell what was new. That costs
// one more request for each block, `block/stat`, since no answer of Kubo's to
// an import says which blocks it had.
func (e *Store) Counting() ipfs.Store { return counting{e} }

type counting struct{ *Store }

func (e counting) Begin(ctx context.Context) (ipfs.Tx, error) {
	t, err := e.Store.begin(ctx)
	if err != nil {
		return nil, err
	}
	return &countingTx{tx: t}, nil
}

// countingTx counts blocks that Kubo does not have when they are put.
type countingTx struct {
	*tx
	stats    ipfs.Stats
	branches []*countingBranch
}

var (
	_ ipfs.Teller = (*countingTx)(nil)
	_ ipfs.Teller = (*countingBranch)(nil)
)

// Put implements [ipfs.Putter].
func (t *countingTx) Put(ctx context.Context, c cid.Cid, data []byte) error {
	_, err := t.PutNew(ctx, c, data)
	return err
}

// PutNew implements [ipfs.Teller].
func (t *countingTx) PutNew(ctx context.Context, c cid.Cid, data []byte) (added bool, err error) {
	return t.putNew(ctx, c, data, &t.stats)
}

func (t *countingTx) putNew(ctx context.Context, c cid.Cid, data []byte, s *ipfs.Stats) (added bool, err error) {
	if t.ended {
		return false, errEnded
	}
	if _, sent := t.seen[c.KeyString()]; !sent {
		if added, err = t.e.lacks(ctx, c); err != nil {
			return false, err
		}
	}
	if err := t.tx.Put(ctx, c, data); err != nil || !added {
		return false, err
	}
	s.NewBlocks++
	s.NewBytes += int64(len(data))
	return true, nil
}

// lacks tells whether Kubo does not have a block.
func (e *Store) lacks(ctx context.Context, c cid.Cid) (bool, error) {
	resp, err := e.send(ctx, e.shell.Request("block/stat", c.String()).Option("offline", true))
	if errors.Is(err, ipfs.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, resp.Output.Close()
}

// HasBlock tells whether Kubo has a block itself.
func (e *Store) HasBlock(ctx context.Context, c cid.Cid) (bool, error) {
	lacks, err := e.lacks(ctx, c)
	return err == nil && !lacks, err
}

// Branch implements [ipfs.Tx].
func (t *countingTx) Branch() (ipfs.Branch, error) {
	b, err := t.tx.Branch()
	if err != nil {
		return nil, err
	}
	counted := &countingBranch{Branch: b, t: t}
	t.branches = append(t.branches, counted)
	return counted, nil
}

// Commit implements [ipfs.Tx].
func (t *countingTx) Commit(ctx context.Context, root ipfs.Root) (ipfs.Stats, error) {
	if _, err := t.tx.Commit(ctx, root); err != nil {
		return ipfs.Stats{NewBlocks: -1, NewBytes: -1}, err
	}
	for _, b := range t.branches {
		t.stats.NewBlocks += b.stats.NewBlocks
		t.stats.NewBytes += b.stats.NewBytes
	}
	return t.stats, nil
}

type countingBranch struct {
	ipfs.Branch
	t     *countingTx
	stats ipfs.Stats
}

// Put implements [ipfs.Putter].
func (b *countingBranch) Put(ctx context.Context, c cid.Cid, data []byte) error {
	_, err := b.PutNew(ctx, c, data)
	return err
}

// PutNew implements [ipfs.Teller].
func (b *countingBranch) PutNew(ctx context.Context, c cid.Cid, data []byte) (bool, error) {
	return b.t.putNew(ctx, c, data, &b.stats)
}

// Drop implements [ipfs.Branch].
func (b *countingBranch) Drop() error {
	b.stats = ipfs.Stats{}
	return b.Branch.Drop()
}
