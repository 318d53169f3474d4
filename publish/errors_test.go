package publish

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// damaged is a store whose transactions fail.
type damaged struct {
	ipfs.Store
	err      error
	atCommit bool
}

func (d damaged) Begin(ctx context.Context) (ipfs.Tx, error) {
	tx, err := d.Store.Begin(ctx)
	return damagedTx{tx, d}, err
}

type damagedTx struct {
	ipfs.Tx
	d damaged
}

func (t damagedTx) Put(ctx context.Context, c cid.Cid, data []byte) error {
	if t.d.atCommit {
		return t.Tx.Put(ctx, c, data)
	}
	return t.d.err
}

func (t damagedTx) Branch() (ipfs.Branch, error) { return nil, t.d.err }

func (t damagedTx) Commit(context.Context, ipfs.Root) (ipfs.Stats, error) {
	return ipfs.Stats{}, t.d.err
}

// Who publishes on a damaged store must not be sent looking for a fault in the
// archive, nor the other way round.
func TestWhoIsToBlame(t *testing.T) {
	path := layout().write(t)
	for _, atCommit := range []bool{false, true} {
		for _, kind := range []error{oci.ErrCorrupt, oci.ErrNotFound} {
			store := damaged{newStore(t), fmt.Errorf("%w: damaged", kind), atCommit}
			_, err := publishPath(t, store, path)
			if !errors.Is(err, kind) || errors.Is(err, ErrArchive) {
				t.Errorf("at commit %t: %v, want the store's %v, not ErrArchive", atCommit, err, kind)
			}
		}
	}
	for _, e := range layout() {
		if claimedDigest(e.name) == "" {
			continue
		}
		if _, err := publishPath(t, newStore(t), layout().without(e.name).write(t)); !errors.Is(err, ErrArchive) || !errors.Is(err, oci.ErrNotFound) {
			t.Errorf("an archive without %s: %v, want ErrArchive", e.name, err)
		}
	}
}

// A directory that has something in it is somebody's, and stays as it is.
func TestNotEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newDirSink(dir); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("%v, want ErrNotEmpty", err)
	}
}
