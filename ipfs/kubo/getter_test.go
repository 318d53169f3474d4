package kubo

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// Kubo gives blocks as all sources do.
func TestGetterSuite(t *testing.T) {
	storetest.RunGetter(t, func(t *testing.T) storetest.Source {
		d := startKubo(t)
		s := d.store(t)
		return storetest.Source{
			Getter: s,
			Put: func(t testing.TB, c cid.Cid, data []byte) {
				t.Helper()
				tx, err := s.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Abort()
				if err := tx.Put(t.Context(), c, data); err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Commit(t.Context(), ipfs.Root{CID: c}); err != nil {
					t.Fatal(err)
				}
			},
			Down: func(t testing.TB) { d.kill() },
		}
	})
}
