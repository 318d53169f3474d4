package exchange

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// Peers give blocks as all sources do.
func TestGetterSuite(t *testing.T) {
	storetest.RunGetter(t, func(t *testing.T) storetest.Source {
		holder, asker := newMachine(t, "holder", Limits{}), newMachine(t, "asker", Limits{})
		join(holder, asker)
		return storetest.Source{
			Getter: asker,
			Put: func(t testing.TB, c cid.Cid, data []byte) {
				if err := holder.store.Put(t.Context(), c, data); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
