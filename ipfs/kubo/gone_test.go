package kubo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

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
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	data := storetest.Random(5<<20, "gone")
	image := l.Image("amd64", data)
	root := l.Publish(oci.Named(image, "app:1"))
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
	defer func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	name := hs.URL + "/v2/" + ref.Ciq(root) + "/app"
	blob := name + "/blobs/" + digest.FromBytes(data).String()
	want := func(status int) {
		t.Helper()
		for _, url := range []string{name + "/manifests/1", name + "/manifests/" + image.Digest.String(), blob} {
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
