package layout_test

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// What a name means must not depend on who is asked.
func TestReader(t *testing.T) {
	registrytest.Run(t, func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) registrytest.Reader {
		l, err := layout.Open(t.Context(), blocks, root)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}
