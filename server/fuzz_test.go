package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// FuzzRequest sends any path, query, Range and Accept: an answer is never a
// panic, an error below /v2/ always the spec's JSON, and HEAD agrees with GET.
func FuzzRequest(f *testing.F) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(f, blocks)
	image := l.Image("amd64", []byte("layer"))
	root := l.Publish(image)
	s, err := New(Config{Local: blocks, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	n := name(root)
	for _, path := range []string{
		"/v2/", n + "/app/manifests/latest", n + "/app/manifests/" + image.Digest.String(), n + "/app/tags/list",
		n + "/app/blobs/" + image.Digest.String(), n + "/app/referrers/" + image.Digest.String(),
		"/v2/library/nginx/manifests/1", "/ipfs/" + root.String(), "/ipfs/" + root.String() + "/index.json", "/ipfs/bafkqaaa", "/v2//blobs/", "//",
	} {
		f.Add(path, "", "", "")
		f.Add(path, "n=1&last=a&ns="+strings.TrimPrefix(n, "/v2/"), "bytes=0-1,3-", "application/vnd.ipld.raw")
		f.Add(path, "format=car&dag-scope=entity", "bytes=-1", "*/*")
	}
	f.Fuzz(func(t *testing.T, path, query, rng, accept string) {
		ask := func(method string) *httptest.ResponseRecorder {
			r := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
			if rng != "" {
				r.Header.Set("Range", rng)
			}
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			return w
		}
		got, head := ask(http.MethodGet), ask(http.MethodHead)
		if got.Code != head.Code || head.Body.Len() > 0 {
			t.Errorf("%q: GET %d, HEAD %d with %d bytes", path, got.Code, head.Code, head.Body.Len())
		}
		if got.Code >= 500 {
			t.Errorf("%q: %d %s", path, got.Code, got.Body)
		}
		if got.Code >= 400 && isRegistryPath(path) {
			var body struct{ Errors []struct{ Code string } }
			if err := json.Unmarshal(got.Body.Bytes(), &body); err != nil || len(body.Errors) != 1 || body.Errors[0].Code == "" {
				t.Errorf("%q: error body %q", path, got.Body)
			}
		}
	})
}

// FuzzIndex serves layouts with any index.json and any blob that it may name.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`), ocispec.MediaTypeImageIndex, "docker.io/library/a:1")
	f.Add([]byte(`{"schemaVersion":2,"layers":[],"subject":{"digest":"x"}}`), "text/html", "")
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`), "", "a b")
	f.Add([]byte(`{"manifests":[{"digest":"sha256:","size":-1,"mediaType":"application/vnd.oci.image.index.v1+json"}]}`), ocispec.MediaTypeImageIndex, "x")
	f.Fuzz(func(t *testing.T, content []byte, mediaType, imageName string) {
		blocks := testlayout.NewBlocks()
		l := testlayout.New(t, blocks)
		desc := l.Blob(mediaType, content)
		desc.Annotations = map[string]string{"io.containerd.image.name": imageName}
		root := l.Publish(desc, l.Index(desc))
		s, err := New(Config{Local: blocks, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, path := range []string{"/a/manifests/1", "/a/manifests/" + desc.Digest.String(), "/a/tags/list", "/a/referrers/" + desc.Digest.String()} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, name(root)+path, nil))
			if w.Code >= 500 {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			if ct := w.Header().Get("Content-Type"); !strings.HasPrefix(ct, "application/") {
				t.Errorf("%s: Content-Type %q", path, ct)
			}
		}
	})
}
