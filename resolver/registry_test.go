package resolver

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

func registryAt(t testing.TB, url string) *Registry {
	t.Helper()
	g, err := NewRegistry(url)
	if err != nil {
		t.Fatal(err)
	}
	g.client = &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(g.client.CloseIdleConnections)
	return g
}

// without gives the blocks but those of the large layer.
func (im *image) without(t testing.TB) *testlayout.Blocks {
	t.Helper()
	some := testlayout.NewBlocks()
	im.blocks.CopyTo(some)
	l, err := ipfs.OpenLayout(t.Context(), some, im.root)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Locate(t.Context(), im.large.Digest)
	if err != nil {
		t.Fatal(err)
	}
	some.Drop(c)
	return some
}

// A registry fills in for blobs of which nobody has the blocks.
func TestRegistryFillsIn(t *testing.T) {
	im := publish(t, 1)
	r := newResolver(t, WithStore(im.without(t)), WithBlobs(registryAt(t, i2i(t, im.blocks, nil))))
	if err := im.pull(t, r); err != nil {
		t.Error(err)
	}
}

// That a root leads to a digest only blocks can prove: what a registry claims
// about a root must not be believed.
func TestRegistryAloneResolvesNothing(t *testing.T) {
	im := publish(t, 1)
	r := newResolver(t, WithBlobs(registryAt(t, i2i(t, im.blocks, nil))))
	if err := im.pull(t, r); !errdefs.IsNotFound(err) {
		t.Errorf("error %v, want not found", err)
	}
	other := publish(t, 2)
	both := testlayout.NewBlocks()
	im.blocks.CopyTo(both)
	other.blocks.CopyTo(both)
	var n counted
	r = newResolver(t, WithStore(im.without(t)), WithBlobs(registryAt(t, i2i(t, both, n.wrap))))
	if _, err := fetcher(t, r, im).Fetch(t.Context(), other.large); !errdefs.IsNotFound(err) || n.blobs.Load() != 0 {
		t.Errorf("a blob of another image: %v after %d questions to the registry", err, n.blobs.Load())
	}
}

// A registry that sends other bytes must not get them past the digest, must
// not be asked twice, and must not keep the next source from being asked.
func TestBadRegistry(t *testing.T) {
	im := publish(t, 1)
	for _, bad := range badGateways {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			var n counted
			wrap := func(h http.Handler) http.Handler { return n.wrap(bad.wrap(h)) }
			badOne := registryAt(t, i2i(t, im.blocks, wrap))
			opts := []Option{WithStore(im.without(t)), WithTimeouts(Timeouts{Hedge: 50 * time.Millisecond, Idle: 5 * time.Second})}
			err := im.pull(t, newResolver(t, append(opts, WithBlobs(badOne))...))
			if err == nil || !strings.Contains(err.Error(), badOne.String()) {
				t.Errorf("alone: %v, want an error that names %s", err, badOne)
			}
			if !errdefs.IsUnavailable(err) && !errdefs.IsDataLoss(err) {
				t.Errorf("alone: %v is neither unavailable nor data loss", err)
			}
			r := newResolver(t, append(opts, WithBlobs(badOne, registryAt(t, i2i(t, im.blocks, nil))))...)
			for range 2 {
				if err := im.pull(t, r); err != nil {
					t.Errorf("beside a good registry: %v", err)
				}
			}
		})
	}
}

// A body without a length that breaks off, as some proxies send it, is no lie: the
// registry is asked again.
func TestRegistryBreaksOff(t *testing.T) {
	im := publish(t, 1)
	broken := false
	cut := func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken {
				good.ServeHTTP(w, r)
				return
			}
			broken = true
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s", im.content[:len(im.content)/2])
		})
	}
	f := fetcher(t, newResolver(t, WithStore(im.without(t)), WithBlobs(registryAt(t, i2i(t, im.blocks, cut)))), im)
	if data, err := fetch(t.Context(), f, im.large); !errdefs.IsUnavailable(err) || len(data) > 0 {
		t.Errorf("half of it: %d bytes, %v, want unavailable", len(data), err)
	}
	if data, err := fetch(t.Context(), f, im.large); err != nil || !bytes.Equal(data, im.content) {
		t.Errorf("all of it: %d bytes, %v", len(data), err)
	}
}

// A registry that cannot hold a layout under a ciq name still has its blobs.
func TestRegistryWithRepository(t *testing.T) {
	im := publish(t, 1)
	asked := ""
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		w.Write(im.content)
	}))
	defer web.Close()
	r := newResolver(t, WithStore(im.without(t)), WithBlobs(registryAt(t, web.URL+"/team/app/")))
	if err := im.pull(t, r); err != nil {
		t.Error(err)
	}
	if want := fmt.Sprintf("/v2/team/app/blobs/%s", im.large.Digest); asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
	for _, bad := range []string{"localhost:5000", "ftp://x", "http://", "http://x/?a=b"} {
		if _, err := NewRegistry(bad); err == nil {
			t.Errorf("NewRegistry(%q) takes it", bad)
		}
	}
}

// When the blocks end in the middle of a layer, reading goes on at that byte.
func TestRegistryTakesOverInTheMiddle(t *testing.T) {
	im := publish(t, 1)
	some := testlayout.NewBlocks()
	im.blocks.CopyTo(some)
	l, err := ipfs.OpenLayout(t.Context(), some, im.root)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Locate(t.Context(), im.large.Digest)
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := ipfs.AddFile(t.Context(), testlayout.NewBlocks(), strings.NewReader(string(im.content[3<<20:4<<20])))
	if err != nil {
		t.Fatal(err)
	}
	some.Drop(dropped.CID) // one leaf of c
	if _, err := ipfs.ReadFile(t.Context(), some, c, 1<<30); err == nil {
		t.Fatal("the blob is still whole")
	}
	var n counted
	r := newResolver(t, WithStore(some), WithBlobs(registryAt(t, i2i(t, im.blocks, n.wrap))))
	if err := im.pull(t, r); err != nil {
		t.Error(err)
	}
	if n.blobs.Load() != 1 {
		t.Errorf("%d blobs from the registry, want 1", n.blobs.Load())
	}
}
