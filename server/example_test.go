package server_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/test/sample"
)

// The registry beside other handlers in a mux of one's own.
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

	registry, err := server.New(server.Config{Local: store})
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()
	mux := http.NewServeMux()
	mux.Handle("/v2/", registry)
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	web := httptest.NewServer(mux)
	defer web.Close()

	for _, path := range []string{"/hello", "/v2/" + ref.Ciq(published.Root) + "/app/manifests/1"} {
		resp, err := http.Get(web.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Println(resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	// Output:
	// 200 text/plain; charset=utf-8
	// 200 application/vnd.oci.image.manifest.v1+json
}
