package car

import (
	"errors"
	"io"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
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
