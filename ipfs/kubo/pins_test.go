package kubo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// olderKubo answers about pins as Kubo 0.30 does: the name of a pin is in the list
// of all of them and not in the answer about one. It tells what was unpinned.
func olderKubo(t *testing.T, pins map[string]string) (e *Store, unpinned func() []string) {
	t.Helper()
	var lock sync.Mutex
	var gone []string
	e = dialFake(t, func(w http.ResponseWriter, r *http.Request) {
		root := r.URL.Query().Get("arg")
		w.Header().Set("Content-Type", "application/json")
		_, pinned := pins[root]
		switch {
		case r.URL.Path == "/api/v0/pin/rm":
			lock.Lock()
			defer lock.Unlock()
			gone = append(gone, root)
			io.WriteString(w, "{}")
		case root == "":
			for c, name := range pins {
				fmt.Fprintf(w, `{"Cid":%q,"Name":%q,"Type":"recursive"}`+"\n", c, name)
			}
		case pinned:
			fmt.Fprintf(w, `{"Cid":%q,"Type":"recursive"}`+"\n", root)
		default:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, `{"Message":"path '%s' is not pinned","Code":0,"Type":"error"}`, root)
		}
	})
	return e, func() []string {
		lock.Lock()
		defer lock.Unlock()
		return gone
	}
}

// With an older Kubo, too, what was published can be removed, and nothing else.
func TestPinsOfOlderKubo(t *testing.T) {
	ours, foreign, unnamed, absent := rawCID(t, []byte("ours")), rawCID(t, []byte("foreign")), rawCID(t, []byte("unnamed")), rawCID(t, []byte("absent"))
	e, unpinned := olderKubo(t, map[string]string{ours.String(): "image2ipfs:app:1", foreign.String(): "mine", unnamed.String(): ""})
	if roots, err := e.Roots(t.Context()); err != nil || len(roots) != 1 || !roots[0].CID.Equals(ours) {
		t.Errorf("Roots: %v, %v", roots, err)
	}
	for _, c := range []struct {
		root cid.Cid
		says string
	}{{foreign, `as "mine"`}, {unnamed, `as ""`}, {absent, "is not pinned"}} {
		if err := e.Remove(t.Context(), c.root); !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("removing %s: %v, want ErrNotFound with %q", c.root, err, c.says)
		}
	}
	if gone := unpinned(); len(gone) > 0 {
		t.Errorf("unpinned %v", gone)
	}
	if err := e.Remove(t.Context(), ours); err != nil {
		t.Error(err)
	}
	if gone := unpinned(); len(gone) != 1 || gone[0] != ours.String() {
		t.Errorf("unpinned %v, want %s alone", gone, ours)
	}
}

// The limit of blocks is the same with every Kubo: 1 MiB, which older ones have
// unless they are told otherwise, would refuse layouts that others have added.
func TestImportTakesWhatPeersExchange(t *testing.T) {
	asked := make(chan string, 1)
	e := dialFake(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query().Get("allow-big-block")
		_, _ = io.Copy(io.Discard, r.Body)
	})
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	largest := make([]byte, 2<<20)
	if err := tx.Put(t.Context(), rawCID(t, largest), largest); err != nil {
		t.Error(err)
	}
	if got := <-asked; got != "true" {
		t.Errorf("allow-big-block is %q", got)
	}
	larger := append(largest, 0)
	if err := tx.Put(t.Context(), rawCID(t, larger), larger); err == nil || !strings.Contains(err.Error(), "2 MiB") {
		t.Errorf("a block of %d bytes: %v", len(larger), err)
	}
	if err := tx.Put(t.Context(), rawCID(t, nil), nil); !errors.Is(err, errEnded) {
		t.Errorf("after that: %v, want that the publication has ended", err)
	}
}

// A list of pins is read to its end, whoever gives up: one that is broken off would
// leave a Kubo of 0.30 in which nothing can be pinned any more.
func TestListsAreReadToTheirEnd(t *testing.T) {
	root := rawCID(t, []byte("ours"))
	begun, cut := make(chan struct{}, 1), make(chan error, 1)
	e := dialFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		line := fmt.Sprintf(`{"Cid":%q,"Name":"","Type":"recursive"}`+"\n", root)
		_, _ = io.WriteString(w, line)
		if r.URL.Query().Get("arg") != "" {
			return
		}
		w.(http.Flusher).Flush()
		begun <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-time.After(200 * time.Millisecond): // enough for a connection to end
		}
		cut <- r.Context().Err()
		_, _ = io.WriteString(w, line)
	})
	if name, ok, err := e.pin(t.Context(), root); name != "" || !ok || err != nil {
		t.Errorf("%q, %v, %v", name, ok, err)
	}
	<-begun
	if err := <-cut; err != nil {
		t.Error("the list was broken off at the line that was looked for")
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if _, err := e.Roots(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Roots: %v, want Canceled", err)
	}
	if err := <-cut; err != nil {
		t.Error("the list was broken off by who asked for it")
	}
}
