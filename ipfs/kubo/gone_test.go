package kubo

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// After `ipfs repo gc` a running server answers 404 for what is gone, by HEAD as by
// GET, and begins no answer that it cannot end.
func TestServedAfterRepoGC(t *testing.T) {
	d := startKubo(t)
	store := d.store(t)
	data := storetest.Random(5<<20, "gone")
	name, root, image := serveFromKubo(t, store, data)
	blob := name + "/blobs/" + digest.FromBytes(data).String()
	want := func(status int) {
		t.Helper()
		for _, url := range []string{name + "/manifests/1", name + "/manifests/" + image.String(), blob} {
			for _, method := range []string{http.MethodHead, http.MethodGet} {
				req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != status {
					t.Errorf("%s %s: %s, %d bytes: %v, want status %d", method, url, resp.Status, n, err, status)
				}
			}
		}
	}
	want(http.StatusOK)
	if err := store.Remove(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	d.ipfs(t, "repo", "gc", "--quiet")
	want(http.StatusNotFound)
}

// serveFromKubo publishes an image of one layer into Kubo, and serves it from there. It
// gives where the image is.
func serveFromKubo(t *testing.T, store *Store, layer []byte) (name string, root cid.Cid, image digest.Digest) {
	t.Helper()
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	desc := l.Image("amd64", layer)
	root = l.Publish(oci.Named(desc, "app:1"))
	tx, err := store.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	if err := blocks.PutInto(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root, Names: []string{"app:1"}}); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{Local: store.Offline(), LocalAhead: Ahead})
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s)
	t.Cleanup(func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return hs.URL + "/v2/" + ref.Ciq(root) + "/app", root, desc.Digest
}

// A blob that is being sent out of Kubo when its image is unpinned and Kubo collects
// garbage comes to its end. After that nothing is left of what held it.
func TestSentWhileRepoGC(t *testing.T) {
	d := startKubo(t)
	store := d.store(t)
	data := storetest.Random(48<<20, "sent") // more than is on its way at once
	name, root, _ := serveFromKubo(t, store, data)
	resp, err := http.Get(name + "/blobs/" + digest.FromBytes(data).String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, 1000, len(data))
	if _, err := io.ReadFull(resp.Body, got); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	if err := store.Remove(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	d.ipfs(t, "repo", "gc", "--quiet")
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(append(got, rest...), data) {
		t.Errorf("%d of %d bytes were sent: %v", len(got)+len(rest), len(data), err)
	}
	if resp, err := http.Get(name + "/manifests/1"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("the image after that: %v, %v, want 404", resp, err)
	} else {
		resp.Body.Close()
	}
	if held := d.ipfs(t, "files", "ls", heldDir); strings.Count(held, "\n") != 1 {
		t.Errorf("held is %q, want one file", held)
	}
	if err := store.letGo(); err != nil {
		t.Error(err)
	}
	if held := d.ipfs(t, "files", "ls", heldDir); held != "" {
		t.Errorf("after that %q is held", held)
	}
}

// While Kubo collects garbage nothing is promised; a Kubo whose MFS whoever asks may not
// use serves all the same.
func TestHold(t *testing.T) {
	data := []byte("a block")
	c := rawCID(t, data)
	for _, test := range []struct {
		what    string
		answer  map[string]http.HandlerFunc // by the end of the path
		want    error
		removed bool
	}{
		{"all is well", nil, nil, true},
		{"no MFS", map[string]http.HandlerFunc{"files/mkdir": denied}, nil, false},
		{"collecting", map[string]http.HandlerFunc{"pin/rm": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}, ipfs.ErrUnavailable, true},
		{"gone", map[string]http.HandlerFunc{"files/cp": absent}, ipfs.ErrNotFound, false},
		{"gone meanwhile", map[string]http.HandlerFunc{"block/get": absent}, ipfs.ErrNotFound, true},
	} {
		var mu sync.Mutex
		removed := false
		e := dialFake(t, func(w http.ResponseWriter, r *http.Request) {
			command := strings.TrimPrefix(r.URL.Path, "/api/v0/")
			if command == "files/rm" {
				mu.Lock()
				defer mu.Unlock()
				removed = true
			}
			if answer := test.answer[command]; answer != nil {
				answer(w, r)
				return
			}
			switch command {
			case "block/get":
				w.Write(data)
			case "pin/rm":
				absent(w, r)
			}
		})
		if test.what == "collecting" { // the others are to be answered in time
			e.silence = 2 * time.Second
		}
		g, release, err := ipfs.Hold(t.Context(), e.Offline(), c)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.what, err, test.want)
		}
		if err == nil {
			if got, err := g.Get(t.Context(), c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %q, %v", test.what, got, err)
			}
			release()
		}
		if err := e.letGo(); err != nil {
			t.Errorf("%s: %v", test.what, err)
		}
		mu.Lock()
		if removed != test.removed {
			t.Errorf("%s: the link was removed: %v, want %v", test.what, removed, test.removed)
		}
		mu.Unlock()
	}
}

func denied(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "no", http.StatusForbidden)
}

func absent(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	io.WriteString(w, `{"Message":"it is not pinned or pinned indirectly, or not found","Code":0,"Type":"error"}`)
}
