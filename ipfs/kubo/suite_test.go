package kubo

import (
	"context"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/enginetest"
)

// Users must be able to change the engine without noticing.
func TestEngineSuite(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) ipfs.Engine {
		d := startKubo(t)
		return swept{Engine: d.engine(t), gc: func() { d.ipfs(t, "repo", "gc", "--quiet") }}
	})
}

// swept is the engine of a user who collects Kubo's garbage after each
// publication, as we never do, and who counts what was put, as Kubo doesn't:
// the suite looks at both.
type swept struct {
	*Engine
	gc func()
}

func (s swept) Begin(ctx context.Context) (ipfs.Tx, error) {
	tx, err := s.Engine.Begin(ctx)
	return &sweptTx{Tx: tx, gc: s.gc}, err
}

type sweptTx struct {
	ipfs.Tx
	gc  func()
	put ipfs.Stats
}

func (s *sweptTx) Put(ctx context.Context, c cid.Cid, data []byte) error {
	s.put.NewBlocks++
	s.put.NewBytes += int64(len(data))
	return s.Tx.Put(ctx, c, data)
}

func (s *sweptTx) Commit(ctx context.Context, root ipfs.Root) (ipfs.Stats, error) {
	stats, err := s.Tx.Commit(ctx, root)
	if stats.NewBlocks < 0 {
		stats = s.put
	}
	s.gc()
	return stats, err
}

func (s *sweptTx) Abort() error {
	err := s.Tx.Abort()
	s.gc()
	return err
}
