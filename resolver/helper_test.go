package resolver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}

// image is a published image: an index of two platforms, with a signature.
type image struct {
	blocks    *testlayout.Blocks
	root      cid.Cid
	name      string // ciq…
	index     ocispec.Descriptor
	amd64     ocispec.Descriptor
	signature ocispec.Descriptor
	small     ocispec.Descriptor
	large     ocispec.Descriptor
	content   []byte // of large
	digests   []digest.Digest
}

// noise is n bytes that no other seed gives.
func noise(seed uint64, n int) []byte {
	r, b := rand.New(rand.NewPCG(seed, 0)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func publish(t testing.TB, seed uint64) *image {
	t.Helper()
	im := &image{blocks: testlayout.NewBlocks(), content: noise(seed, 6<<20+17)}
	l := testlayout.New(t, im.blocks)
	small := noise(seed+100, 3000)
	im.amd64 = l.Image("amd64", small, im.content)
	arm64 := l.Image("arm64", small)
	im.index = oci.Named(l.Index(im.amd64, arm64), "docker.io/team/app:1")
	im.signature = l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.test.signature",
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{}, Subject: &im.amd64,
	})
	im.signature.ArtifactType = "application/vnd.test.signature"
	im.root = l.Publish(im.index, im.signature)
	im.name = ref.Ciq(im.root)
	im.small = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(small), Size: int64(len(small))}
	im.large = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(im.content), Size: int64(len(im.content))}
	im.digests = []digest.Digest{im.index.Digest, im.amd64.Digest, arm64.Digest, im.small.Digest, im.large.Digest}
	return im
}

// newResolver makes one that is impatient and is closed with the test.
func newResolver(t testing.TB, opts ...Option) *Resolver {
	opts = append([]Option{WithTimeouts(Timeouts{Hedge: 50 * time.Millisecond, Block: 15 * time.Second, Retry: 20 * time.Millisecond, Idle: 15 * time.Second})}, opts...)
	r := New(opts...)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// i2i serves blocks as `image2ipfs serve` does; wrap may spoil the answers.
func i2i(t testing.TB, blocks *testlayout.Blocks, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	s, err := server.New(server.Config{Local: blocks, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var h http.Handler = s
	if wrap != nil {
		h = wrap(h)
	}
	web := httptest.NewServer(h)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		s.Close()
	})
	return web.URL
}

func gatewayAt(t testing.TB, url string, cars bool) interface {
	Get(context.Context, cid.Cid) ([]byte, error)
} {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	opts := gateway.Options{Answer: 8 * time.Second, Idle: 6 * time.Second, Client: client}
	if cars {
		g, err := gateway.New(url, opts)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g, err := gateway.New(url, opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// pull fetches what a containerd would and checks it; the error is the first.
func (im *image) pull(t testing.TB, r *Resolver) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	name, desc, err := r.Resolve(ctx, im.name+"/team/app:1")
	if err != nil {
		return err
	}
	if desc.Digest != im.index.Digest || desc.Size != im.index.Size || desc.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("Resolve gives %+v, want %+v", desc, im.index)
	}
	f, err := r.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	errs := make(chan error, 8)
	all := []ocispec.Descriptor{im.index, im.amd64, im.small, im.large}
	for _, d := range all {
		go func() {
			data, err := fetch(ctx, f.(*Fetcher), d)
			if err == nil && digest.FromBytes(data) != d.Digest {
				err = fmt.Errorf("UNVERIFIED CONTENT of %s came through", d.Digest)
				t.Error(err)
			}
			errs <- err
		}()
	}
	var failed []error
	for range all {
		failed = append(failed, <-errs)
	}
	return errors.Join(failed...)
}

func fetch(ctx context.Context, f *Fetcher, desc ocispec.Descriptor) ([]byte, error) {
	rc, err := f.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, rc)
	return b.Bytes(), err
}

func fetcher(t testing.TB, r *Resolver, im *image) *Fetcher {
	t.Helper()
	f, err := r.Fetcher(t.Context(), im.name)
	if err != nil {
		t.Fatal(err)
	}
	return f.(*Fetcher)
}

// counted counts the requests for a kind of content.
type counted struct {
	raw, car, blobs atomic.Int64
}

func (c *counted) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/blobs/"):
			c.blobs.Add(1)
		case r.URL.Query().Get("format") == "car":
			c.car.Add(1)
		case r.URL.Query().Get("format") == "raw":
			c.raw.Add(1)
		}
		h.ServeHTTP(w, r)
	})
}
