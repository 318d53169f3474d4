package kubo

import (
	"context"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/enginetest"
)

// Users must be able to change the engine without noticing.
func TestEngineSuite(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) ipfs.Engine {
		d := startKubo(t)
		return swept{Engine: d.engine(t).Counting(), gc: func() { d.ipfs(t, "repo", "gc", "--quiet") }}
	})
}

// swept is the engine of a user who collects Kubo's garbage after each
// publication, as we never do: the suite looks at what is left.
type swept struct {
	ipfs.Engine
	gc func()
}

func (s swept) Begin(ctx context.Context) (ipfs.Tx, error) {
	tx, err := s.Engine.Begin(ctx)
	return sweptTx{Tx: tx, gc: s.gc}, err
}

type sweptTx struct {
	ipfs.Tx
	gc func()
}

func (s sweptTx) Commit(ctx context.Context, root ipfs.Root) (ipfs.Stats, error) {
	defer s.gc()
	return s.Tx.Commit(ctx, root)
}

func (s sweptTx) Abort() error {
	defer s.gc()
	return s.Tx.Abort()
}
