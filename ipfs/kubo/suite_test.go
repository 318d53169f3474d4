package kubo

import (
	"context"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
)

// Users must be able to change the store without noticing.
func TestEngineSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) ipfs.Store {
		d := startKubo(t)
		return swept{Store: d.store(t).Counting(), gc: func() { d.ipfs(t, "repo", "gc", "--quiet") }}
	})
}

// Names mean on Kubo what they mean everywhere.
func TestReader(t *testing.T) {
	registrytest.RunOverStore(t, func(t *testing.T) ipfs.Store { return startKubo(t).store(t) })
}

// swept is the store of a user who collects Kubo's garbage after each
// publication, as we never do: the suite looks at what is left.
type swept struct {
	ipfs.Store
	gc func()
}

func (s swept) Begin(ctx context.Context) (ipfs.Tx, error) {
	tx, err := s.Store.Begin(ctx)
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
