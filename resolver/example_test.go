package resolver_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/resolver"
	"github.com/image2ipfs/image2ipfs/test/sample"
)

// What a program with containerd gives to client.Pull: a name is resolved, and its
// contents are fetched from a store, here, or from gateways (WithBlocks).
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := packstore.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	published, err := publish.Publish(ctx, sample.Archive(), store, publish.Options{})
	if err != nil {
		log.Fatal(err)
	}

	r := resolver.New(
		resolver.WithStore(store),
		resolver.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))),
	)
	defer r.Close()
	name, desc, err := r.Resolve(ctx, ref.Ciq(published.Root)+"/app:1")
	if err != nil {
		log.Fatal(err)
	}
	fetcher, err := r.Fetcher(ctx, name)
	if err != nil {
		log.Fatal(err)
	}
	content, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		log.Fatal(err)
	}
	defer content.Close()
	manifest, err := io.ReadAll(content)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(desc.MediaType)
	fmt.Println(int64(len(manifest)) == desc.Size)
	// Output:
	// application/vnd.oci.image.manifest.v1+json
	// true
}
