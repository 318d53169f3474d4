package pull_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/resolver"
	"github.com/image2ipfs/image2ipfs/test/sample"
)

// An image goes from wherever its blocks are into a directory that skopeo, podman
// and crane read as oci:DIR.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := packstore.Open(filepath.Join(dir, "store"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	published, err := publish.Publish(ctx, sample.Archive(), store, publish.Options{})
	if err != nil {
		log.Fatal(err)
	}

	from := sources.New(sources.Options{}, sources.Near(store)) // and sources.Far of gateways
	defer from.Close()
	there, err := layout.Open(ctx, from, published.Root)
	if err != nil {
		log.Fatal(err)
	}
	image, err := pull.Select(ctx, there, ref.Name{Root: published.Root, Repository: "app", Tag: "1"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	r := resolver.New(resolver.WithSources(from))
	defer r.Close()
	to := pull.Directory(filepath.Join(dir, "layout"))
	if _, err := to.Pull(ctx, pull.Job{Image: image, Resolver: r}); err != nil {
		log.Fatal(err)
	}
	_, err = os.Stat(filepath.Join(string(to), "index.json"))
	fmt.Println(image.Platforms, err)
	// Output:
	// [linux/amd64] <nil>
}
