package car

import (
	"errors"
	"io"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Few large blocks that occur very often keep nobody busy for ever.
func TestWrittenAgainIsBounded(t *testing.T) {
	data := make([]byte, 1<<20)
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}.Sum(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, dups := range []bool{true, false} {
		w, err := NewWriter(io.Discard, c)
		if err != nil {
			t.Fatal(err)
		}
		e := &export{car: w, sent: map[string]progress{}, again: maxAgain - 2<<20, Selection: Selection{Dups: dups}}
		for i := range 4 {
			if err := e.block(c, data); errors.Is(err, ErrRepeats) != (dups && i == 3) || err != nil && i < 3 {
				t.Errorf("dups %v, time %d: %v", dups, i+1, err)
			}
		}
	}
}

// All that is below a block is not told of one whose links are not read; the block alone is.
func TestLinksOfOtherCodecs(t *testing.T) {
	data := []byte{0xa0} // an empty map of CBOR
	c, err := cid.V1Builder{Codec: cid.DagCBOR, MhType: multihash.SHA2_256}.Sum(data)
	if err != nil {
		t.Fatal(err)
	}
	blocks := testlayout.NewBlocks()
	if err := blocks.Put(t.Context(), c, data); err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[Scope]error{All: ErrCodec, Block: nil} {
		w, err := NewWriter(io.Discard, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.DAG(t.Context(), blocks, nil, c, Selection{Scope: scope}); !errors.Is(err, want) {
			t.Errorf("scope %s: %v, want %v", scope, err, want)
		}
	}
}
