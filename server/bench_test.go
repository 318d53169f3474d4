package server

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// benchmark asks for one path again and again over one connection.
func benchmark(b *testing.B, gateways bool, size int, path func(p published) string) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(b, blocks)
	p := published{data: big(size)}
	image := l.Image("amd64", p.data)
	p.layer, p.image, p.root = digest.FromBytes(p.data), image.Digest, l.Publish(image)
	cfg := Config{Local: blocks, Logger: slog.New(slog.DiscardHandler)}
	if gateways {
		cfg.Gateways = []Gateway{newGateway("http://gateway", blocks, well)}
	}
	s, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	hs := httptest.NewServer(s)
	b.Cleanup(func() {
		hs.Close()
		s.Close()
	})
	url := hs.URL + path(p)
	if gateways {
		size = 0
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		resp, err := client.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if resp.Body.Close(); err != nil || resp.StatusCode >= http.StatusBadRequest || size > 0 && n != int64(size) {
			b.Fatal(resp.Status, n, err)
		}
	}
}

func BenchmarkManifest(b *testing.B) {
	benchmark(b, true, 1000, published.manifest)
}

func BenchmarkRedirect(b *testing.B) {
	benchmark(b, true, 1000, published.blob)
}

func BenchmarkBlob64MiB(b *testing.B) {
	benchmark(b, false, 64<<20, published.blob)
}
