package gateway

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Who waits for a block over a slow link must see that it comes.
func TestProgress(t *testing.T) {
	data := make([]byte, 1<<20)
	g := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(data) })
	var inner, outer atomic.Int64
	ctx := ipfs.WithProgress(t.Context(), func(n int) { outer.Add(int64(n)) })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = ipfs.WithProgress(ctx, func(n int) { inner.Add(int64(n)) })
	if _, err := g.Get(ctx, rawCID(t, data)); err != nil {
		t.Fatal(err)
	}
	if inner.Load() != 1<<20 || outer.Load() != 1<<20 {
		t.Errorf("told of %d and %d bytes, want %d", inner.Load(), outer.Load(), 1<<20)
	}
}
