package kubo

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
)

// A layout that Kubo keeps has to be readable through Kubo's own gateway.
func TestKuboAsGateway(t *testing.T) {
	d := startKubo(t)
	e := d.store(t)
	content := strings.Repeat("blob", 1<<20)
	dgst := digest.FromString(content)
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	link, err := ipfs.AddFile(t.Context(), tx, strings.NewReader(content))
	for _, name := range []string{dgst.Encoded(), "sha256", "blobs"} {
		if err != nil {
			t.Fatal(err)
		}
		link, err = ipfs.AddDirectory(t.Context(), tx, map[string]ipfs.Link{name: link})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: link.CID}); err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(strings.Replace(d.gateway, "127.0.0.1", "localhost", 1), gateway.Options{Probe: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Has(t.Context(), link.CID); err != nil {
		t.Errorf("Has: %v", err)
	}
	c, err := ipfs.Resolve(t.Context(), g, link.CID, "blobs/sha256/"+dgst.Encoded())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ipfs.ReadFile(t.Context(), g, c, 8<<20); err != nil || string(got) != content {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	resp, err := http.Get(g.BlobURL(link.CID, dgst))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != content {
		t.Errorf("BlobURL: %s, %d bytes, %v", resp.Status, len(got), err)
	}
	err = g.Has(t.Context(), rawCID(t, []byte("nobody has this")))
	if !errors.Is(err, ipfs.ErrNotFound) && !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("Has of what nobody has: %v", err)
	}
	t.Logf("Has of what nobody has: %v", err)
}

// BenchmarkPublish is the price of Kubo as a store: chunking, the import,
// and its two walks over the tree.
func BenchmarkPublish(b *testing.B) {
	d := startKubo(b)
	e := d.store(b)
	const mib = 256
	content := []byte(numbered(mib))
	b.SetBytes(mib << 20)
	for i := 0; b.Loop(); i++ {
		for j := range mib { // new blocks each time
			content[j<<20+8] = byte(i + 1)
		}
		publish(b, e, string(content), "bench:1")
	}
}
