package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// pushSite is a server that takes pushes.
type pushSite struct {
	*site
	store *packstore.Store
}

// startPush starts one on the store in a directory.
func startPush(t *testing.T, dir string) *pushSite {
	t.Helper()
	store, err := packstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Local: store, Dir: dir, Pushed: pushed.New(store, pushed.Options{}), Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s.PushHandler())
	p := &pushSite{&site{t, s, hs.URL}, store}
	t.Cleanup(func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// send is do with a body.
func (p *pushSite) send(method, path string, body []byte, headers ...string) reply {
	p.t.Helper()
	r, err := http.NewRequest(method, p.url+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{resp, data}
}

// begin opens an upload and gives where it goes on.
func (p *pushSite) begin(repository string) string {
	p.t.Helper()
	return p.send(http.MethodPost, "/v2/"+repository+"/blobs/uploads/", nil).expect(p.t, http.StatusAccepted, "").Header.Get("Location")
}

// blob pushes a blob at one stroke.
func (p *pushSite) blob(repository string, data []byte) ocispec.Descriptor {
	p.t.Helper()
	d := digest.FromBytes(data)
	p.send(http.MethodPut, p.begin(repository)+"?digest="+d.String(), data).expect(p.t, http.StatusCreated, "")
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: int64(len(data))}
}

// image pushes an image's blobs and gives its manifest.
func (p *pushSite) image(repository string, layers ...[]byte) []byte {
	p.t.Helper()
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: p.blob(repository, config), Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	m.Config.MediaType = ocispec.MediaTypeImageConfig
	for _, l := range layers {
		m.Layers = append(m.Layers, p.blob(repository, l))
	}
	return encoded(p.t, m)
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// manifest pushes a manifest.
func (p *pushSite) manifest(repository, reference string, data []byte) reply {
	p.t.Helper()
	return p.send(http.MethodPut, "/v2/"+repository+"/manifests/"+reference, data, "Content-Type: "+oci.SniffMediaType(data))
}

// What a client pushes comes back byte for byte by its tag, by its digest and by the
// name with the CID that the answer tells, also from the next server; and only in the
// repository to which it was pushed.
func TestPush(t *testing.T) {
	dir := t.TempDir()
	p := startPush(t, dir)
	layer := big(3<<20 + 17)
	image := p.image("team/app", layer)
	d := digest.FromBytes(image)
	put := p.manifest("team/app", "1", image).expect(t, http.StatusCreated, "")
	name := put.Header.Get("Image2ipfs-Name")
	host, root, _ := strings.Cut(name, "/")
	if put.Header.Get("Docker-Content-Digest") != d.String() || put.Header.Get("Location") != "/v2/team/app/manifests/"+d.String() ||
		host != strings.TrimPrefix(p.url, "http://") || !strings.HasSuffix(root, "/team/app") ||
		put.Header.Get("Warning") != `299 - "team/app:1 is `+name+`"` {
		t.Errorf("the answer has %v", put.Header)
	}
	for _, s := range []*pushSite{p, startPush(t, dir)} {
		for _, path := range []string{"team/app/manifests/1", "team/app/manifests/" + d.String(), root + "/manifests/1", root + "/manifests/" + d.String()} {
			got := s.both("/v2/"+path).expect(t, http.StatusOK, "")
			if !bytes.Equal(got.body, image) || got.Header.Get("Content-Type") != ocispec.MediaTypeImageManifest || got.Header.Get("Docker-Content-Digest") != d.String() {
				t.Errorf("%s: %d bytes, %v", path, len(got.body), got.Header)
			}
		}
		for _, name := range []string{"team/app", root} {
			got := s.both("/v2/"+name+"/blobs/"+digest.FromBytes(layer).String()).expect(t, http.StatusOK, "")
			if !bytes.Equal(got.body, layer) {
				t.Errorf("%s: the layer has %d bytes", name, len(got.body))
			}
		}
		part := s.get("/v2/team/app/blobs/"+digest.FromBytes(layer).String(), "Range: bytes=5-9").expect(t, http.StatusPartialContent, "")
		if !bytes.Equal(part.body, layer[5:10]) {
			t.Errorf("a range: %x", part.body)
		}
		if got := s.get("/v2/team/app/tags/list").expect(t, http.StatusOK, ""); string(got.body) != `{"name":"team/app","tags":["1"]}` {
			t.Errorf("tags: %s", got.body)
		}
		if got := s.get("/v2/_catalog").expect(t, http.StatusOK, ""); string(got.body) != `{"repositories":["team/app"]}` {
			t.Errorf("catalogue: %s", got.body)
		}
		s.both("/v2/team/app/manifests/2").expect(t, http.StatusNotFound, codeManifestUnknown, `"2"`)
		s.both("/v2/team/app/manifests/"+digest.FromString("x").String()).expect(t, http.StatusNotFound, codeManifestUnknown)
		s.both("/v2/other/manifests/1").expect(t, http.StatusNotFound, codeNameUnknown)
		s.get("/v2/other/tags/list").expect(t, http.StatusNotFound, codeNameUnknown)
		s.both("/v2/other/blobs/"+digest.FromBytes(layer).String()).expect(t, http.StatusNotFound, codeBlobUnknown)
		s.send(http.MethodPut, "/v2/"+root+"/manifests/1", image).expect(t, http.StatusMethodNotAllowed, codeUnsupported)
	}
	kept, err := p.store.Roots(t.Context())
	if err != nil || len(kept) != 1 || fmt.Sprint(kept[0].Names) != "[team/app:1]" {
		t.Errorf("published: %+v, %v", kept, err)
	}
}

// Local names mean nothing where engines have their mirror, and nothing is taken there.
func TestPushAddressAlone(t *testing.T) {
	p := startPush(t, t.TempDir())
	p.manifest("app", "1", p.image("app")).expect(t, http.StatusCreated, "")
	mirror := httptest.NewServer(p.s)
	defer mirror.Close()
	other := &pushSite{&site{t, p.s, mirror.URL}, p.store}
	other.both("/v2/app/manifests/1").expect(t, http.StatusNotFound, codeNameUnknown)
	other.send(http.MethodPost, "/v2/app/blobs/uploads/", nil).expect(t, http.StatusMethodNotAllowed, codeUnsupported)
}

// A blob comes in one request or in many (distribution-spec, "Pushing a blob
// monolithically" and "in chunks"), and a chunk in the wrong place spoils nothing.
func TestUploads(t *testing.T) {
	p := startPush(t, t.TempDir())
	data := big(2<<20 + 5)
	d := digest.FromBytes(data)
	has := func() { t.Helper(); p.get("/v2/app/blobs/"+d.String()).expect(t, http.StatusOK, "") }

	p.send(http.MethodPost, "/v2/app/blobs/uploads/?digest="+d.String(), data).expect(t, http.StatusCreated, "")
	has()
	p.send(http.MethodPost, "/v2/app/blobs/uploads/?digest="+d.String(), data[1:]).expect(t, http.StatusBadRequest, codeDigestInvalid)

	at := p.begin("app")
	empty := p.get(at).expect(t, http.StatusNoContent, "")
	if empty.Header.Get("Range") != "0-0" || empty.Header.Get("Location") != at {
		t.Errorf("an empty upload: %v", empty.Header)
	}
	const half = 1 << 20
	p.send(http.MethodPatch, at, data[:half], "Content-Range: 0-1048575").expect(t, http.StatusAccepted, "")
	if got := p.get(at).Header.Get("Range"); got != "0-1048575" {
		t.Errorf("range %q", got)
	}
	wrong := p.send(http.MethodPatch, at, data[half:half+10], "Content-Range: 5-14").expect(t, http.StatusRequestedRangeNotSatisfiable, codeRangeInvalid)
	if wrong.Header.Get("Range") != "0-1048575" {
		t.Errorf("refused with range %q", wrong.Header.Get("Range"))
	}
	p.send(http.MethodPatch, at, data[half:half+10], "Content-Range: 1048576-1048577").expect(t, http.StatusBadRequest, codeSizeInvalid)
	p.send(http.MethodPatch, at, data[half:half+10]).expect(t, http.StatusAccepted, "")
	p.send(http.MethodPut, at+"?digest=sha256:0", nil).expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.send(http.MethodPut, at+"?digest="+d.String(), data[half+10:]).expect(t, http.StatusCreated, "")
	has()
	p.get(at).expect(t, http.StatusNotFound, codeUploadUnknown)

	at = p.begin("app")
	p.send(http.MethodPatch, at, data).expect(t, http.StatusAccepted, "")
	p.send(http.MethodPatch, strings.Replace(at, "/app/", "/other/", 1), data).expect(t, http.StatusNotFound, codeUploadUnknown)
	p.do(http.MethodDelete, at).expect(t, http.StatusNoContent, "")
	p.send(http.MethodPatch, at, data).expect(t, http.StatusNotFound, codeUploadUnknown)

	wide := digest.SHA512.FromBytes(data) // told at the end, or at the start
	p.send(http.MethodPut, p.begin("app")+"?digest="+wide.String(), data).expect(t, http.StatusCreated, "")
	p.get("/v2/app/blobs/"+wide.String()).expect(t, http.StatusOK, "")
	p.send(http.MethodPost, "/v2/app/blobs/uploads/?digest="+digest.SHA512.FromString("").String(), nil).expect(t, http.StatusCreated, "")
	p.send(http.MethodPut, p.begin("app")+"?digest="+digest.SHA512.FromString("x").String(), data).expect(t, http.StatusBadRequest, codeDigestInvalid)
}

// A blob of one repository becomes one of another without being sent, and what is not
// there is sent (distribution-spec, "Mounting a blob from another repository").
func TestMount(t *testing.T) {
	p := startPush(t, t.TempDir())
	d := p.blob("app", []byte("layer")).Digest
	p.send(http.MethodPost, "/v2/other/blobs/uploads/?mount="+d.String()+"&from=app", nil).expect(t, http.StatusCreated, "")
	p.get("/v2/other/blobs/"+d.String()).expect(t, http.StatusOK, "")
	for _, query := range []string{"?mount=" + d.String() + "&from=nobody", "?mount=" + d.String(), "?mount=" + digest.FromString("x").String() + "&from=app"} {
		p.send(http.MethodPost, "/v2/third/blobs/uploads/"+query, nil).expect(t, http.StatusAccepted, "")
	}
	p.send(http.MethodPost, "/v2/third/blobs/uploads/?mount=x&from=app", nil).expect(t, http.StatusBadRequest, codeDigestInvalid)
}

// What cannot be right is refused with its code (distribution-spec, "Error Codes"), and
// leaves nothing.
func TestRefusedPushes(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app", []byte("layer"))
	const oneType = "Content-Type: " + ocispec.MediaTypeImageManifest
	for _, c := range []struct {
		name, path, mediaType string
		body                  []byte
		status                int
		code                  errorCode
	}{
		{"another digest", "app/manifests/" + digest.FromString("x").String(), oneType, image, 400, codeDigestInvalid},
		{"no digest", "app/manifests/sha256:x", oneType, image, 400, codeDigestInvalid},
		{"no tag", "app/manifests/.x", oneType, image, 400, codeManifestInvalid},
		{"no name", "App/manifests/1", oneType, image, 400, codeNameInvalid},
		{"no type", "app/manifests/1", "X: y", image, 400, codeManifestInvalid},
		{"another type", "app/manifests/1", "Content-Type: " + ocispec.MediaTypeImageIndex, image, 400, codeManifestInvalid},
		{"Docker's type", "app/manifests/1", "Content-Type: " + oci.MediaTypeDockerManifest, image, 400, codeManifestInvalid},
		{"no manifest's type", "app/manifests/1", "Content-Type: application/json", image, 400, codeManifestInvalid},
		{"no JSON", "app/manifests/1", oneType, []byte("{"), 400, codeManifestInvalid},
		{"no manifest", "app/manifests/1", oneType, []byte("{}"), 400, codeManifestInvalid},
		{"too large", "app/manifests/1", oneType, make([]byte, oci.MaxManifestSize+1), 413, codeSizeInvalid},
		{"blobs of another repository", "other/manifests/1", oneType, image, 404, codeManifestBlobUnknown},
		{"a size that is wrong", "app/manifests/1", oneType, bytes.Replace(image, []byte(`"size":5`), []byte(`"size":6`), 1), 400, codeManifestInvalid},
		{"nothing to push to", "app/nosuch/1", oneType, image, 404, codeNameUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.send(http.MethodPut, "/v2/"+c.path, c.body, c.mediaType).expect(t, c.status, c.code)
		})
	}
	p.send(http.MethodPost, "/v2/app/manifests/1", image).expect(t, http.StatusMethodNotAllowed, codeUnsupported)
	p.get("/v2/app/tags/list").expect(t, http.StatusNotFound, codeNameUnknown)
	if kept, err := p.store.Roots(t.Context()); err != nil || len(kept) > 0 {
		t.Errorf("published: %v, %v", kept, err)
	}
}
