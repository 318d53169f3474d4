package layout_test

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// What a name means must not depend on who is asked.
func TestReader(t *testing.T) {
	registrytest.RunOver(t, func(_ *testing.T, blocks *testlayout.Blocks, _ cid.Cid) ipfs.Getter { return blocks })
}
