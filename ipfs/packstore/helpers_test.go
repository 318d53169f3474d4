package packstore_test

import (
	"context"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// fileOf makes a UnixFS file, three levels deep, of leaves of one size.
func fileOf(t testing.TB, p ipfs.Putter, leaves []cid.Cid, size int) cid.Cid {
	t.Helper()
	var level []testlayout.Part
	for len(leaves) > 0 {
		n := min(len(leaves), 1024)
		var parts []testlayout.Part
		for _, c := range leaves[:n] {
			parts = append(parts, testlayout.Part{CID: c, Size: size})
		}
		level = append(level, testlayout.Part{CID: testlayout.File(t, p, parts...), Size: n * size})
		leaves = leaves[n:]
	}
	return testlayout.File(t, p, level...)
}

// blind takes directories and forgets leaves, which are elsewhere already.
type blind struct{ ipfs.Putter }

func (b blind) Put(ctx context.Context, c cid.Cid, data []byte) error {
	if c.Type() == cid.Raw {
		return nil
	}
	return b.Putter.Put(ctx, c, data)
}
