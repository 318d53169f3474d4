package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// A gateway gives blocks as all sources do.
func TestGetterSuite(t *testing.T) {
	storetest.RunGetter(t, func(t *testing.T) storetest.Source {
		blocks := testlayout.NewBlocks()
		lying := &storetest.Lying{Getter: blocks}
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := cid.Decode(strings.TrimPrefix(r.URL.Path, "/ipfs/"))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			data, err := lying.Get(r.Context(), c)
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", rawType)
			w.Write(data)
		}))
		t.Cleanup(web.Close)
		g, err := New(web.URL, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return storetest.Source{
			Getter: g,
			Put: func(t testing.TB, c cid.Cid, data []byte) {
				if err := blocks.Put(t.Context(), c, data); err != nil {
					t.Fatal(err)
				}
			},
			Lie:  lying.Lie,
			Down: func(testing.TB) { web.CloseClientConnections(); web.Close() },
		}
	})
}
