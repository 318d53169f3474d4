package exchange

import (
	"testing"

	"github.com/ipfs/go-cid"
)

// Peers tell what they have of a DAG, and who has a part which of some files.
func TestHoldings(t *testing.T) {
	all := fetchers(t, 3, Limits{})
	join(all...)
	a := all[0].publish(random(3<<20, 1))
	b := all[0].publish(random(3<<20, 2))
	data, err := all[0].store.Get(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if err := all[1].store.Put(t.Context(), a, data); err != nil {
		t.Fatal(err)
	}
	all[1].mustFetch(b, random(3<<20, 2))
	got := all[2].Holdings(t.Context(), a, []cid.Cid{a, b})
	want := []string{HasAll, HasSome}
	for i, h := range got {
		if i >= len(want) || h.State != want[i] || h.Err != nil {
			t.Errorf("%d: %+v", i, h)
		}
	}
	if len(got) != len(want) || len(got[1].Files) != 1 || got[1].Files[0] != b {
		t.Errorf("%+v; want states %q, and %s of the second", got, want, b)
	}
}
