package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// These follow the sections "Content Discovery", "Content Management", "Error Codes" and
// "Warnings" of the distribution spec (v1.1.1), on the address that is pushed to.

// referrer pushes an artifact that has an image as its subject.
func (p *pushSite) referrer(repository, artifactType string, subject []byte, annotations map[string]string) (data []byte, pushed reply) {
	p.t.Helper()
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Annotations: annotations,
		Config:  p.blob(repository, []byte("{}")),
		Layers:  []ocispec.Descriptor{p.blob(repository, []byte("of "+artifactType))},
		Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(subject), Size: int64(len(subject))},
	}
	m.SchemaVersion, m.Config.MediaType = 2, "application/vnd.example.config"
	data = encoded(p.t, m)
	return data, p.manifest(repository, digest.FromBytes(data).String(), data).expect(p.t, http.StatusCreated, "")
}

func TestSpecListingTags(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app")
	for _, tag := range []string{"b", "a", "c"} {
		p.manifest("app", tag, image).expect(t, http.StatusCreated, "")
	}
	for query, want := range map[string]string{"": "a b c", "?n=2": "a b", "?n=2&last=b": "c", "?last=a": "b c", "?n=0": "", "?n=5": "a b c", "?last=x": ""} {
		got := p.get("/v2/app/tags/list"+query).expect(t, http.StatusOK, "")
		var list struct {
			Name string
			Tags []string
		}
		if err := json.Unmarshal(got.body, &list); err != nil || list.Name != "app" || strings.Join(list.Tags, " ") != want || !bytes.Contains(got.body, []byte(`"tags":[`)) {
			t.Errorf("%s: %s, want %s", query, got.body, want)
		}
		link := got.Header.Get("Link")
		if more := query == "?n=2"; more != (link != "") || more && !strings.HasSuffix(link, `>; rel="next"`) {
			t.Errorf("%s: Link is %q", query, link)
		}
	}
	p.get("/v2/nobody/tags/list").expect(t, http.StatusNotFound, codeNameUnknown)
}

func TestSpecListingReferrers(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app")
	subject := digest.FromBytes(image)
	list := func(query string) ocispec.Index {
		t.Helper()
		got := p.get("/v2/app/referrers/"+query).expect(t, http.StatusOK, "")
		var index ocispec.Index
		if err := json.Unmarshal(got.body, &index); err != nil || got.Header.Get("Content-Type") != ocispec.MediaTypeImageIndex ||
			index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || !bytes.Contains(got.body, []byte(`"manifests":[`)) {
			t.Errorf("%s: %s, %v", query, got.body, err)
		}
		if filtered := strings.Contains(query, "?"); filtered != (got.Header.Get("OCI-Filters-Applied") == "artifactType") {
			t.Errorf("%s: OCI-Filters-Applied is %q", query, got.Header.Get("OCI-Filters-Applied"))
		}
		return index
	}
	if none := list(subject.String()); len(none.Manifests) != 0 {
		t.Errorf("nobody refers to it, and there are %v", none.Manifests)
	}
	sbom, pushed := p.referrer("app", "application/vnd.example.sbom", image, map[string]string{"k": "v"}) // before its subject
	if pushed.Header.Get("OCI-Subject") != subject.String() {
		t.Errorf("OCI-Subject is %q", pushed.Header.Get("OCI-Subject"))
	}
	p.manifest("app", "1", image).expect(t, http.StatusCreated, "")
	p.referrer("app", "", image, nil)
	all := list(subject.String())
	if len(all.Manifests) != 2 {
		t.Fatalf("referrers %v", all.Manifests)
	}
	some := list(subject.String() + "?artifactType=application/vnd.example.sbom")
	if len(some.Manifests) != 1 || some.Manifests[0].Digest != digest.FromBytes(sbom) || some.Manifests[0].Size != int64(len(sbom)) ||
		some.Manifests[0].Annotations["k"] != "v" || some.Manifests[0].MediaType != ocispec.MediaTypeImageManifest {
		t.Errorf("of one type %+v", some.Manifests)
	}
	byConfig := list(subject.String() + "?artifactType=application/vnd.example.config")
	if len(byConfig.Manifests) != 1 {
		t.Errorf("without artifactType the config's type counts: %+v", byConfig.Manifests)
	}
	p.get("/v2/app/referrers/sha256:x").expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.get("/v2/nobody/referrers/"+subject.String()).expect(t, http.StatusOK, "")
}

func TestSpecDeletingTags(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app")
	d := digest.FromBytes(image).String()
	p.manifest("app", "1", image).expect(t, http.StatusCreated, "")
	p.do(http.MethodDelete, "/v2/app/manifests/1").expect(t, http.StatusAccepted, "")
	p.both("/v2/app/manifests/1").expect(t, http.StatusNotFound, codeManifestUnknown)
	p.both("/v2/app/manifests/"+d).expect(t, http.StatusOK, "")
	p.do(http.MethodDelete, "/v2/app/manifests/1").expect(t, http.StatusNotFound, codeManifestUnknown)
	p.do(http.MethodDelete, "/v2/nobody/manifests/1").expect(t, http.StatusNotFound, codeNameUnknown)
	p.do(http.MethodDelete, "/v2/app/manifests/.x").expect(t, http.StatusNotFound, codeManifestUnknown)
}

func TestSpecDeletingManifests(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app", []byte("layer"))
	d := digest.FromBytes(image).String()
	index := encoded(t, oci.NewIndex([]ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(d), Size: int64(len(image))}}))
	p.manifest("app", d, image).expect(t, http.StatusCreated, "")
	for _, tag := range []string{"1", "2"} {
		p.manifest("app", tag, index).expect(t, http.StatusCreated, "")
	}
	root := p.get("/v2/app/manifests/1").Header.Get("Image2ipfs-Name")
	p.do(http.MethodDelete, "/v2/app/manifests/"+d).expect(t, http.StatusConflict, codeDenied, digest.FromBytes(index).String())
	p.do(http.MethodDelete, "/v2/app/manifests/"+digest.FromBytes(index).String()).expect(t, http.StatusAccepted, "")
	for _, gone := range []string{"1", "2", d, digest.FromBytes(index).String()} {
		p.both("/v2/app/manifests/"+gone).expect(t, http.StatusNotFound, codeNameUnknown)
	}
	_, name, _ := strings.Cut(strings.TrimSuffix(root, ":1"), "/")
	p.get("/v2/"+name+"/manifests/1").expect(t, http.StatusNotFound, "")
	p.do(http.MethodDelete, "/v2/app/manifests/"+d).expect(t, http.StatusNotFound, codeNameUnknown)
	p.do(http.MethodDelete, "/v2/app/manifests/sha256:x").expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.do(http.MethodDelete, "/v2/"+name+"/manifests/1").expect(t, http.StatusMethodNotAllowed, codeUnsupported)
}

func TestSpecDeletingBlobs(t *testing.T) {
	p := startPush(t, t.TempDir())
	d := p.blob("app", []byte("alone")).Digest.String()
	p.manifest("app", "1", p.image("app", []byte("layer"))).expect(t, http.StatusCreated, "")
	p.do(http.MethodDelete, "/v2/app/blobs/"+d).expect(t, http.StatusAccepted, "")
	p.both("/v2/app/blobs/"+d).expect(t, http.StatusNotFound, codeBlobUnknown)
	p.do(http.MethodDelete, "/v2/app/blobs/"+d).expect(t, http.StatusNotFound, codeBlobUnknown)
	p.do(http.MethodDelete, "/v2/app/blobs/sha256:x").expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.do(http.MethodDelete, "/v2/app/blobs/"+digest.FromString("layer").String()).expect(t, http.StatusConflict, codeDenied)
	p.both("/v2/app/blobs/"+digest.FromString("layer").String()).expect(t, http.StatusOK, "")
}

func TestSpecErrorCodes(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app", []byte("layer"))
	p.manifest("app", "1", image).expect(t, http.StatusCreated, "")
	oneType := "Content-Type: " + ocispec.MediaTypeImageManifest
	at := p.begin("app")
	d := digest.FromString("x").String()
	for _, c := range []struct {
		method, path string
		body         string
		header       string
		status       int
		code         errorCode
	}{
		{"GET", "app/blobs/" + d, "", "", 404, codeBlobUnknown},
		{"PATCH", strings.TrimPrefix(at, "/v2/") + "x", "x", "", 404, codeUploadUnknown},
		{"PUT", "app/manifests/" + d, string(image), oneType, 400, codeDigestInvalid},
		{"PUT", "other/manifests/1", string(image), oneType, 404, codeManifestBlobUnknown},
		{"PUT", "app/manifests/1", "{", oneType, 400, codeManifestInvalid},
		{"GET", "app/manifests/2", "", "", 404, codeManifestUnknown},
		{"GET", "App/manifests/1", "", "", 400, codeNameInvalid},
		{"GET", "nobody/manifests/1", "", "", 404, codeNameUnknown},
		{"PATCH", strings.TrimPrefix(at, "/v2/"), "xy", "Content-Range: 0-0", 400, codeSizeInvalid},
		{"PATCH", strings.TrimPrefix(at, "/v2/"), "xy", "Content-Range: 1-2", 416, codeRangeInvalid},
		{"DELETE", "app/blobs/" + digest.FromString("layer").String(), "", "", 409, codeDenied},
		{"PUT", "app/tags/list", "", "", 405, codeUnsupported},
	} {
		t.Run(string(c.code), func(t *testing.T) {
			headers := []string{"X-Test: y"}
			if c.header != "" {
				headers = append(headers, c.header)
			}
			got := p.send(c.method, "/v2/"+c.path, []byte(c.body), headers...).expect(t, c.status, c.code)
			if c.code == codeUnsupported && got.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow is %q", got.Header.Get("Allow"))
			}
		})
	}
	got := p.do(http.MethodPost, "/v2/app/manifests/1").expect(t, http.StatusMethodNotAllowed, codeUnsupported)
	if got.Header.Get("Allow") != "DELETE, PUT, GET, HEAD" {
		t.Errorf("Allow is %q", got.Header.Get("Allow"))
	}
}

// The codes of which the rest of a request does not tell.
func TestSpecErrorCodesOfClients(t *testing.T) {
	p := startPush(t, t.TempDir())
	at := p.begin("app")
	t.Run(string(codeUploadInvalid), func(t *testing.T) { // a body that stalls
		stall := p.s.cfg.Limits.Stall
		p.s.cfg.Limits.Stall = 500 * time.Millisecond // which is enough for the answer
		defer func() { p.s.cfg.Limits.Stall = stall }()
		began := time.Now()
		conn := p.raw(http.MethodPatch, at, 10, "", []byte("01234"))
		got, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(got.Body); got.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), string(codeUploadInvalid)) {
			t.Errorf("%s: %s", got.Status, text)
		}
		if took := time.Since(began); took > bodyTimeout {
			t.Errorf("more is waited for, %s", took)
		}
	})
	t.Run(string(codeTooMany), func(t *testing.T) {
		for range uploadsEach - 1 {
			p.begin("app")
		}
		full := p.send(http.MethodPost, "/v2/app/blobs/uploads/", nil).expect(t, http.StatusTooManyRequests, codeTooMany)
		if full.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
	t.Run(string(codeUnauthorized), func(t *testing.T) {
		closed, _, _ := startClosed(t, Config{Local: p.store, Dir: p.store.Path(), Pushed: pushed.New(p.store, pushed.Options{})})
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			got := (&pushSite{closed, p.store}).send(method, "/v2/app/manifests/1", nil).expect(t, http.StatusUnauthorized, codeUnauthorized)
			if got.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no WWW-Authenticate", method)
			}
		}
	})
}

func TestSpecWarnings(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app")
	path := "/v2/app/manifests/" + digest.FromBytes(image).String() + "?"
	for i := range maxTags {
		path += fmt.Sprintf("tag=%s%d&", strings.Repeat("t", 60), i)
	}
	got := p.send(http.MethodPut, path, image, "Content-Type: "+ocispec.MediaTypeImageManifest).expect(t, http.StatusCreated, "")
	bytes := 0
	for _, w := range got.Header.Values("Warning") {
		if !strings.HasPrefix(w, `299 - "`) {
			t.Errorf("a warning is %q", w)
		}
		bytes += len(w)
	}
	if bytes == 0 || bytes > 4096 {
		t.Errorf("warnings of %d bytes in all, at most 4096 are allowed", bytes)
	}
	if n := len(got.Header.Values("OCI-Tag")); n != maxTags {
		t.Errorf("%d tags are told to be set, want %d", n, maxTags)
	}
	p.send(http.MethodPut, path+"tag=more", image, "Content-Type: "+ocispec.MediaTypeImageManifest).expect(t, http.StatusRequestURITooLong, codeManifestInvalid)
}
