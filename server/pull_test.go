package server

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

const acceptOfContainerd = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"

// One image: a pull by any name, in every spelling of its root, by tag and by
// digest gives exactly what was published.
func TestPullingManifests(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", big(3<<20))
	root := l.Publish(oci.Named(image, "app:1"))
	s := start(t, Config{Local: blocks})
	spell := ref.Spell(root)
	for _, path := range []string{
		name(root) + "/app/manifests/1", name(root) + "/app/manifests/latest", name(root) + "/any/thing/manifests/x",
		name(root) + "/manifests/latest", "/v2/library/" + spell.Ciq + "/manifests/latest", "/v2/" + spell.V1 + "/app/manifests/1",
		"/v2/" + spell.Base36 + "/app/manifests/1", "/v2/" + spell.Hex + "/app/manifests/1",
		"/v2/app/manifests/latest?ns=" + spell.Ciq, "/v2/library/app/manifests/1?ns=" + spell.V1, "/v2/app/manifests/1?ns=" + spell.Ciq + ":443",
		name(root) + "/app/manifests/1?ns=docker.io", name(root) + "/manifests/blobs/tags/list/manifests/1",
		name(root) + "/app/manifests/" + image.Digest.String(), name(root) + "/app/manifests/sha256%3A" + image.Digest.Encoded(),
	} {
		for _, accept := range [][]string{{"Accept: " + acceptOfContainerd}, {"Accept: application/vnd.oci.image.index.v1+json", "Accept: application/json"}, nil} {
			got := s.both(path, accept...).expect(t, http.StatusOK, "")
			if digest.FromBytes(got.body) != image.Digest {
				t.Errorf("%s: another manifest", path)
			}
			if ct, d := got.Header.Get("Content-Type"), got.Header.Get("Docker-Content-Digest"); ct != ocispec.MediaTypeImageManifest || d != image.Digest.String() {
				t.Errorf("%s: type %q, digest %q", path, ct, d)
			}
			if forever := strings.Contains(got.Header.Get("Cache-Control"), "immutable"); forever != strings.Contains(path, "sha256") {
				t.Errorf("%s: Cache-Control %q", path, got.Header.Get("Cache-Control"))
			}
		}
	}
}

// A multi-platform image: nested indices, attestations, a platform that the
// layout lacks, and a manifest that no index lists.
func TestPullingNestedIndices(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	amd, arm, absentImage := l.Image("amd64", []byte("a")), l.Image("arm64", []byte("b")), l.Image("riscv64", []byte("c"))
	attestation := l.JSON(ocispec.MediaTypeImageManifest, map[string]any{"schemaVersion": 2, "config": map[string]any{}, "layers": []any{}})
	list := l.JSON(oci.MediaTypeDockerManifestList, map[string]any{"schemaVersion": 2, "mediaType": oci.MediaTypeDockerManifestList, "manifests": []any{arm, absentImage}})
	l.Without(absentImage.Digest)
	index := l.Index(amd, list, attestation)
	unlisted := l.Image("s390x", []byte("d"))
	schema1 := l.Blob("", []byte(`{"schemaVersion":1,"fsLayers":[]}`))
	sha512 := l.BlobAs(digest.SHA512, ocispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[]}`))
	root := l.Publish(oci.Named(index, "app:1"))
	s := start(t, Config{Local: blocks})
	for d, mediaType := range map[digest.Digest]string{
		index.Digest: ocispec.MediaTypeImageIndex, list.Digest: oci.MediaTypeDockerManifestList,
		amd.Digest: ocispec.MediaTypeImageManifest, arm.Digest: ocispec.MediaTypeImageManifest,
		attestation.Digest: ocispec.MediaTypeImageManifest, unlisted.Digest: ocispec.MediaTypeImageManifest,
		schema1.Digest: oci.MediaTypeDockerSchema1, sha512.Digest: ocispec.MediaTypeImageManifest,
	} {
		got := s.both(name(root)+"/app/manifests/"+d.String()).expect(t, http.StatusOK, "")
		if d.Algorithm().FromBytes(got.body) != d || got.Header.Get("Content-Type") != mediaType {
			t.Errorf("%s: type %q, want %q", d, got.Header.Get("Content-Type"), mediaType)
		}
	}
	s.both(name(root)+"/app/manifests/"+absentImage.Digest.String()).expect(t, http.StatusNotFound, codeManifestUnknown, "published without it")
	if got := s.get(name(root) + "/app/manifests/1"); got.Header.Get("Docker-Content-Digest") != index.Digest.String() {
		t.Errorf("the tag gives %s", got.Header.Get("Docker-Content-Digest"))
	}
}

// Several images: each by its name, wrong names are told what there is.
func TestPullingOneOfSeveral(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	a, b, c := l.Image("amd64", []byte("a")), l.Image("amd64", []byte("b")), l.Image("amd64", []byte("c"))
	root := l.Publish(oci.Named(a, "docker.io/library/app:1"), oci.Named(b, "quay.io/org/tool:v2"), c)
	s := start(t, Config{Local: blocks})
	for path, want := range map[string]digest.Digest{
		"/app/manifests/1": a.Digest, "/library/app/manifests/1": a.Digest, "/app/manifests/latest": a.Digest,
		"/org/tool/manifests/v2": b.Digest, "/image/manifests/" + c.Digest.String(): c.Digest,
	} {
		if got := s.both(name(root) + path); got.Header.Get("Docker-Content-Digest") != want.String() {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	s.both(name(root)+"/app/manifests/2").expect(t, http.StatusNotFound, codeManifestUnknown, "app:1", "org/tool:v2", c.Digest.String())
	s.both(name(root)+"/nginx/manifests/1").expect(t, http.StatusNotFound, codeNameUnknown, "app:1", "org/tool:v2", c.Digest.String())
	s.both(name(root)+"/nginx/tags/list").expect(t, http.StatusNotFound, codeNameUnknown, "app:1")
}

// Blobs: whole, in ranges as engines resume, and on conditions.
func TestPullingBlobs(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	data := big(3<<20 + 17)
	image := l.Image("amd64", data, nil)
	root := l.Publish(image)
	s := start(t, Config{Local: blocks})
	d := digest.FromBytes(data)
	path := name(root) + "/app/blobs/" + d.String()
	whole := s.both(path, "Accept-Encoding: gzip").expect(t, http.StatusOK, "")
	h := whole.Header
	if !bytes.Equal(whole.body, data) || h.Get("Content-Type") != "application/octet-stream" || h.Get("Content-Encoding") != "" ||
		h.Get("Docker-Content-Digest") != d.String() || h.Get("Accept-Ranges") != "bytes" || !strings.Contains(h.Get("Cache-Control"), "immutable") {
		t.Errorf("%d bytes, header %v", len(whole.body), h)
	}
	if got := s.both(name(root) + "/app/blobs/" + digest.FromBytes(nil).String()); got.StatusCode != http.StatusOK || len(got.body) > 0 {
		t.Errorf("empty blob: %d, %d bytes", got.StatusCode, len(got.body))
	}
	size := len(data)
	for _, test := range []struct {
		rng        string
		start, end int
	}{
		{"bytes=0-0", 0, 1}, {"bytes=5-", 5, size}, {"bytes=1048570-2097160", 1048570, 2097161}, {"bytes=-17", size - 17, size},
		{fmt.Sprintf("bytes=%d-", size-1), size - 1, size}, {fmt.Sprintf("bytes=100-%d", size*2), 100, size}, {fmt.Sprintf("bytes=-%d", size*2), 0, size},
	} {
		got := s.get(path, "Range: "+test.rng).expect(t, http.StatusPartialContent, "")
		if want := fmt.Sprintf("bytes %d-%d/%d", test.start, test.end-1, size); got.Header.Get("Content-Range") != want {
			t.Errorf("%s: Content-Range %q, want %q", test.rng, got.Header.Get("Content-Range"), want)
		}
		if !bytes.Equal(got.body, data[test.start:test.end]) {
			t.Errorf("%s: other bytes", test.rng)
		}
	}
	for _, rng := range []string{fmt.Sprintf("bytes=%d-", size), "bytes=9999999999-", "bytes=5-3", "bytes=x-y", "bytes=99999999999999999999-"} {
		got := s.both(path, "Range: "+rng).expect(t, http.StatusRequestedRangeNotSatisfiable, codeRangeInvalid)
		if strings.HasPrefix(rng, "bytes=9") && got.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", size) && !strings.Contains(rng, "999999999999") {
			t.Errorf("%s: Content-Range %q", rng, got.Header.Get("Content-Range"))
		}
	}
	multiRange(t, s, path, data)
	s.both(path, `If-None-Match: "`+d.String()+`"`).expect(t, http.StatusNotModified, "")
	s.both(path, `If-None-Match: "x", W/"`+d.String()+`"`).expect(t, http.StatusNotModified, "")
	s.both(path, `If-None-Match: "x"`).expect(t, http.StatusOK, "")
	s.get(path, "Range: bytes=1-2", `If-Range: "`+d.String()+`"`).expect(t, http.StatusPartialContent, "")
	s.get(path, "Range: bytes=1-2", `If-Range: "x"`).expect(t, http.StatusOK, "")
	s.both(path, `If-Match: "x"`).expect(t, http.StatusPreconditionFailed, codePrecondition)
	manifest := name(root) + "/app/manifests/latest"
	s.both(manifest, `If-None-Match: "`+image.Digest.String()+`"`).expect(t, http.StatusNotModified, "")
}

// cosign and others ask for signatures by a tag: the image in place of one that
// is not there would be taken for it.
func TestImageIsNotItsSignature(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	s := start(t, Config{Local: blocks})
	for _, kind := range []string{".sig", ".att", ".sbom", ""} {
		tag := strings.Replace(p.image.String(), ":", "-", 1) + kind
		for _, repository := range []string{"", "/app", "/other"} {
			s.both(name(p.root)+repository+"/manifests/"+tag).expect(t, http.StatusNotFound, codeManifestUnknown)
		}
	}
}

// What is not there is 404 with a code that says what is missing; what breaks
// the grammar is 400; and HEAD says the same as GET.
func TestErrorCodes(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	layer := big(5 << 20)
	image := l.Image("amd64", layer)
	lie := digest.FromString("true")
	l.Lie(lie, []byte(`{"schemaVersion":2,"layers":[]}`))
	html := l.Blob("text/html", []byte(`{"schemaVersion":2,"mediaType":"text/html","layers":[]}`))
	root := l.Publish(image)
	elsewhere, s := testlayout.New(t, testlayout.NewBlocks()).Publish(), start(t, Config{Local: blocks})
	none, n := digest.FromString("none").String(), name(root)
	config := digestOf(t, s, n+"/app/manifests/latest", "config")
	for _, test := range []struct {
		path   string
		status int
		code   errorCode
		says   string
	}{
		{n + "/app/manifests/" + none, 404, codeManifestUnknown, none},
		{n + "/app/manifests/.bad-tag", 404, codeManifestUnknown, "neither a tag nor a digest"},
		{n + "/app/manifests/" + digest.FromBytes(layer).String(), 404, codeManifestUnknown, "a manifest at most"},
		{n + "/app/manifests/" + config, 404, codeManifestUnknown, "neither a manifest nor an index"},
		{n + "/app/manifests/" + html.Digest.String(), 404, codeManifestUnknown, "neither a manifest nor an index"},
		{n + "/app/blobs/" + none, 404, codeBlobUnknown, none},
		{n + "/app/manifests/sha256:abc", 400, codeDigestInvalid, "sha256:abc"},
		{n + "/app/manifests/sha256:" + strings.Repeat("G", 64), 400, codeDigestInvalid, ""},
		{n + "/app/blobs/sha256:abc", 400, codeDigestInvalid, ""},
		{n + "/app/blobs/latest", 400, codeDigestInvalid, ""},
		{n + "/app/blobs/md5:" + strings.Repeat("0", 32), 400, codeDigestInvalid, ""},
		{n + "/../x/manifests/latest", 400, codeNameInvalid, ""},
		{n + "/app/referrers/latest", 400, codeDigestInvalid, ""},
		{n + "/app//x/manifests/latest", 400, codeNameInvalid, ""},
		{n + "/App/manifests/latest", 400, codeNameInvalid, ""},
		{n + "/a%00b/manifests/latest", 400, codeNameInvalid, ""},
		{"/v2/" + ref.Spell(root).V0 + "/app/manifests/latest", 400, codeNameInvalid, ""},
		{"/v2/" + strings.Repeat("a/", 200) + "a/manifests/latest", 400, codeNameInvalid, ""},
		{name(elsewhere) + "/app/manifests/latest", 404, codeNameUnknown, "not found"},
		{name(elsewhere) + "/app/blobs/" + none, 404, codeNameUnknown, "not found"},
		{name(elsewhere) + "/app/tags/list", 404, codeNameUnknown, ""},
		{name(elsewhere) + "/app/referrers/" + none, 404, codeNameUnknown, ""},
		{"/v2/library/nginx/manifests/latest", 404, codeNameUnknown, "no CID"},
		{"/v2/library/nginx/manifests/latest?ns=docker.io", 404, codeNameUnknown, "no CID"},
		{"/v2/library/nginx/blobs/sha256:abc", 404, codeNameUnknown, "no CID"},
		{"/v2/x/unknown/y", 404, codeNameUnknown, "endpoint"},
		{n + "/app/tags/lists", 404, codeNameUnknown, "endpoint"},
		{n + "/app/tags/list?n=x", 400, codeNumberInvalid, ""},
		{n + "/app/tags/list?n=-1", 400, codeNumberInvalid, ""},
		{n + "/app/manifests/" + lie.String(), 500, codeUnknown, "another digest"},
	} {
		s.both(test.path).expect(t, test.status, test.code, test.says)
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		got := s.do(method, n+"/app/blobs/uploads/").expect(t, http.StatusMethodNotAllowed, codeUnsupported, "read-only")
		if allow := got.Header.Get("Allow"); allow != "GET, HEAD" {
			t.Errorf("%s: Allow %q", method, allow)
		}
	}
	if got := s.get("/nothing"); got.StatusCode != http.StatusNotFound || len(got.body) == 0 {
		t.Errorf("unknown path: %d %q", got.StatusCode, got.body)
	}
}

// A mirror sees every name that an engine pulls: those without a CID must cost
// nothing.
func TestNamesWithoutCIDCostNothing(t *testing.T) {
	blocks := testlayout.NewBlocks()
	gw := newGateway("http://gateway", blocks, well)
	s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}})
	s.both("/v2/library/debian/manifests/latest?ns=docker.io").expect(t, http.StatusNotFound, codeNameUnknown)
	s.both("/v2/library/debian/blobs/"+digest.FromString("x").String()).expect(t, http.StatusNotFound, codeNameUnknown)
	if n := blocks.Gets() + int(gw.asked.Load()+gw.read.Load()); n != 0 {
		t.Errorf("%d look-ups", n)
	}
}

// Engines begin with GET /v2/ (distribution-spec, "Determining Support").
func TestDeterminingSupport(t *testing.T) {
	s := start(t, Config{Local: testlayout.NewBlocks()})
	for _, path := range []string{"/v2/", "/v2"} {
		if got := s.both(path).expect(t, http.StatusOK, ""); got.Header.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
			t.Errorf("%s: header %v", path, got.Header)
		}
	}
	s.both("/healthz").expect(t, http.StatusOK, "")
}

// Once a root is known, a request costs the same whatever the blob's size: that the
// root is still there, for a blob of a store that cannot hold it the way to its last
// block as well, and what is sent. A manifest is not read again.
func TestRequestsAreO1(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	data := big(40 << 20)
	root := l.Publish(l.Image("amd64", data))
	s := start(t, Config{Local: blocks})
	manifest, blob := name(root)+"/app/manifests/latest", name(root)+"/app/blobs/"+digest.FromBytes(data).String()
	s.get(manifest).expect(t, http.StatusOK, "")
	s.get(blob, "Range: bytes=0-0").expect(t, http.StatusPartialContent, "")
	cost := func(n int, do func()) {
		t.Helper()
		before := blocks.Gets()
		if do(); blocks.Gets()-before > n {
			t.Errorf("%d blocks read, want at most %d", blocks.Gets()-before, n)
		}
	}
	cost(2, func() { s.both(manifest) })
	cost(6, func() { s.do(http.MethodHead, blob) })
	cost(6, func() { s.get(blob, "Range: bytes=30000000-30000009") })
	cost(46, func() { s.get(blob) })
}
