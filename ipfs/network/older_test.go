package network

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/image2ipfs/image2ipfs/internal/control"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// While the server that runs is of a version that does not tell for whom it fetches,
// its peers are told all the same.
func TestOlderServer(t *testing.T) {
	dir := t.TempDir()
	if _, err := FetchesFor(t.Context(), dir); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("without a server: %v", err)
	}
	c, err := control.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+peersPath, control.Answer(func() []map[string]string { return []map[string]string{{"id": "somebody"}} }))
	mux.HandleFunc("GET /broken", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode("x")
	})
	if err := c.Serve(mux); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if who, err := FetchesFor(t.Context(), dir); who != "" || err != nil {
		t.Errorf("%q, %v", who, err)
	}
	if trials, ok, err := Try(t.Context(), dir); ok || len(trials) > 0 || err != nil {
		t.Errorf("%v, %v, %v", trials, ok, err)
	}
	if peers, err := Peers(t.Context(), dir); err != nil || len(peers) != 1 {
		t.Errorf("%v, %v", peers, err)
	}
	var text string
	if err := control.Ask(t.Context(), dir, "/broken", &text); err == nil || errors.Is(err, control.ErrUnknown) {
		t.Errorf("a server that fails: %v", err)
	}
}
