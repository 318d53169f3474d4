package exchange

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Names mean the same where all blocks come from peers.
func TestReader(t *testing.T) {
	registrytest.RunOver(t, func(t *testing.T, blocks *testlayout.Blocks, _ cid.Cid) ipfs.Getter {
		all := fetchers(t, 2, Limits{})
		join(all...)
		if err := blocks.PutInto(t.Context(), all[0].store); err != nil {
			t.Fatal(err)
		}
		return all[1].Exchange
	})
}
