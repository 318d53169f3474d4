package publish_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/test/sample"
)

// An archive, here one of a few bytes in place of archive.Open("app.tar"), becomes a
// layout in a store. Its root depends on the bytes alone.
func Example() {
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
	app := sample.Archive()
	defer app.Close()

	published, err := publish.Publish(context.Background(), app, store, publish.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, image := range published.Images {
		fmt.Println(image.Name, image.Platforms)
	}
	roots, err := store.Roots(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(roots), "kept:", roots[0].CID.Equals(published.Root))
	// Output:
	// app:1 [linux/amd64]
	// 1 kept: true
}
