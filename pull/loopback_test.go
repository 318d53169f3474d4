package pull

import (
	"io"
	"net/http"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// dockerd pulls from here what it was told to, a part of a layer, too, and shows
// its user why it cannot.
func TestLoopback(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("one layer"))
	layer := l.Blob(ocispec.MediaTypeImageLayer, []byte("one layer"))
	root := l.Publish(oci.Named(image, "app:1"), oci.Named(l.Image("arm64", []byte("other")), "web:2"))
	opened, err := layout.Open(t.Context(), blocks, root)
	if err != nil {
		t.Fatal(err)
	}
	r, err := serveLoopback(t.Context(), opened)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path, ranges string) (int, string, http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.addr+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if ranges != "" {
			req.Header.Set("Range", ranges)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body), resp.Header
	}
	name := "/v2/" + ref.Ciq(root)
	for _, test := range []struct {
		path, ranges string
		status       int
		says         string
	}{
		{"/v2/", "", 200, ""},
		{name + "/app/manifests/1", "", 200, image.Digest.Encoded()},
		{name + "/app/manifests/" + image.Digest.String(), "", 200, layer.Digest.Encoded()},
		{name + "/app/manifests/9", "", 404, "app:1, web:2"},
		{name + "/app/blobs/" + layer.Digest.String(), "", 200, "one layer"},
		{name + "/app/blobs/" + layer.Digest.String(), "bytes=4-", 206, "layer"},
		{name + "/app/blobs/sha256:" + strings.Repeat("0", 64), "", 404, "BLOB_UNKNOWN"},
		{"/v2/library/nginx/manifests/latest", "", 404, "NAME_UNKNOWN"},
		{name + "/app/tags/list", "", 404, "UNSUPPORTED"},
	} {
		status, body, header := get(test.path, test.ranges)
		if status != test.status || !strings.Contains(body+header.Get("Docker-Content-Digest"), test.says) {
			t.Errorf("%s %s: %d %q, want %d with %q", test.path, test.ranges, status, body, test.status, test.says)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
