package server

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// These follow the section "Push" of the distribution spec (v1.1.1), each test one of its
// subsections, in their order.

// location is where an answer leads to, relative to what was asked (RFC 9110, "Location").
func (p *pushSite) location(got reply) string {
	p.t.Helper()
	to, err := url.Parse(got.Header.Get("Location"))
	if err != nil || to.Path == "" {
		p.t.Fatalf("Location is %q: %v", got.Header.Get("Location"), err)
	}
	return got.Request.URL.ResolveReference(to).RequestURI()
}

// closing is where an upload ends as a blob: what the place has as a query stays.
func closing(at string, d digest.Digest) string {
	joint := "?"
	if strings.Contains(at, "?") {
		joint = "&"
	}
	return at + joint + "digest=" + url.QueryEscape(d.String())
}

// isThere follows the place of a blob or a manifest, which MUST be pullable.
func (p *pushSite) isThere(put reply, want []byte) {
	p.t.Helper()
	got := p.both(p.location(put)).expect(p.t, http.StatusOK, "")
	if !bytes.Equal(got.body, want) || got.Header.Get("Content-Length") != strconv.Itoa(len(want)) {
		p.t.Errorf("%d bytes come from %s, with Content-Length %s, expected %d", len(got.body), p.location(put), got.Header.Get("Content-Length"), len(want))
	}
	if d := put.Header.Get("Docker-Content-Digest"); d != digest.FromBytes(want).String() {
		p.t.Errorf("Docker-Content-Digest is %q", d)
	}
}

func TestSpecPushingABlobMonolithicallyPostThenPut(t *testing.T) {
	p := startPush(t, t.TempDir())
	for _, data := range [][]byte{big(1<<20 + 3), []byte("x"), {}} {
		begun := p.send(http.MethodPost, "/v2/team/app/blobs/uploads/", nil).expect(t, http.StatusAccepted, "")
		d := digest.FromBytes(data)
		p.both("/v2/team/app/blobs/"+d.String()).expect(t, http.StatusNotFound, codeBlobUnknown)
		put := p.send(http.MethodPut, closing(p.location(begun), d), data, "Content-Type: application/octet-stream").expect(t, http.StatusCreated, "")
		p.isThere(put, data)
		p.send(http.MethodPut, closing(p.location(begun), d), data).expect(t, http.StatusNotFound, codeUploadUnknown) // the session is over
	}
	other := p.send(http.MethodPost, "/v2/team/app/blobs/uploads/", nil).expect(t, http.StatusAccepted, "")
	p.send(http.MethodPut, closing(p.location(other), digest.FromString("y")), []byte("z")).expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.get("/v2/team/app/blobs/"+digest.FromString("z").String()).expect(t, http.StatusNotFound, codeBlobUnknown)
}

func TestSpecPushingABlobMonolithicallySinglePost(t *testing.T) {
	p := startPush(t, t.TempDir())
	data := big(1<<20 + 5)
	d := digest.FromBytes(data)
	p.isThere(p.send(http.MethodPost, closing("/v2/app/blobs/uploads/", d), data, "Content-Type: application/octet-stream").expect(t, http.StatusCreated, ""), data)
	p.send(http.MethodPost, closing("/v2/app/blobs/uploads/", d), data[1:]).expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.send(http.MethodPost, "/v2/app/blobs/uploads/?digest=md5:x", data).expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.send(http.MethodPost, closing("/v2/App/blobs/uploads/", d), data).expect(t, http.StatusBadRequest, codeNameInvalid)
}

func TestSpecPushingABlobInChunks(t *testing.T) {
	p := startPush(t, t.TempDir())
	data := big(2<<20 + 7)
	d := digest.FromBytes(data)
	begun := p.send(http.MethodPost, "/v2/app/blobs/uploads/", nil, "Content-Length: 0").expect(t, http.StatusAccepted, "")
	if least := begun.Header.Get("OCI-Chunk-Min-Length"); least != "" {
		t.Errorf("chunks of less than %s bytes are refused, and none was to be", least)
	}
	at := p.location(begun)
	const cut, end = 1 << 20, 2 << 20
	chunk := func(from, to int, said string) reply {
		t.Helper()
		return p.send(http.MethodPatch, at, data[from:to], "Content-Type: application/octet-stream", "Content-Range: "+said)
	}
	ranged := func(got reply, want string) {
		t.Helper()
		if got.Header.Get("Range") != want {
			t.Errorf("Range is %q, expected %q", got.Header.Get("Range"), want)
		}
		at = p.location(got)
	}
	ranged(chunk(0, cut, "0-1048575").expect(t, http.StatusAccepted, ""), "0-1048575")
	ranged(p.get(at).expect(t, http.StatusNoContent, ""), "0-1048575") // the status of an upload
	for _, said := range []string{"0-1048575", "1048577-2097151", "x", "1048576-", "bytes 1048576-2097151/*"} {
		ranged(chunk(cut, end, said).expect(t, http.StatusRequestedRangeNotSatisfiable, codeRangeInvalid), "0-1048575")
	}
	chunk(cut, end, "1048576-1048577").expect(t, http.StatusBadRequest, codeSizeInvalid)
	ranged(chunk(cut, end, "1048576-2097151").expect(t, http.StatusAccepted, ""), "0-2097151")
	p.isThere(p.send(http.MethodPut, closing(at, d), data[end:], "Content-Range: 2097152-2097158").expect(t, http.StatusCreated, ""), data) // with the final chunk
	p.get(at).expect(t, http.StatusNotFound, codeUploadUnknown)

	at = p.location(p.send(http.MethodPost, "/v2/app/blobs/uploads/", nil).expect(t, http.StatusAccepted, ""))
	at = p.location(p.send(http.MethodPatch, at, data).expect(t, http.StatusAccepted, "")) // streamed, in one chunk
	p.send(http.MethodPut, at, nil).expect(t, http.StatusBadRequest, codeDigestInvalid)    // the digest MUST be there
	p.isThere(p.send(http.MethodPut, closing(at, d), nil).expect(t, http.StatusCreated, ""), data)
}

func TestSpecCancelABlobUpload(t *testing.T) {
	p := startPush(t, t.TempDir())
	at := p.begin("app")
	p.send(http.MethodPatch, at, []byte("some")).expect(t, http.StatusAccepted, "")
	p.do(http.MethodDelete, at).expect(t, http.StatusNoContent, "")
	p.get(at).expect(t, http.StatusNotFound, codeUploadUnknown)
	p.do(http.MethodDelete, at).expect(t, http.StatusNotFound, codeUploadUnknown)
	p.send(http.MethodPut, closing(at, digest.FromString("some")), nil).expect(t, http.StatusNotFound, codeUploadUnknown)
}

func TestSpecMountingABlobFromAnotherRepository(t *testing.T) {
	p := startPush(t, t.TempDir())
	data := []byte("layer")
	d := p.blob("team/app", data).Digest
	p.isThere(p.send(http.MethodPost, "/v2/other/blobs/uploads/?mount="+d.String()+"&from=team/app", nil, "Content-Length: 0").expect(t, http.StatusCreated, ""), data)
	for _, query := range []string{"from=nobody", "from=third", "", "from=", "from=App"} { // then it is an upload
		begun := p.send(http.MethodPost, "/v2/third/blobs/uploads/?mount="+d.String()+"&"+query, nil).expect(t, http.StatusAccepted, "")
		p.get("/v2/third/blobs/"+d.String()).expect(t, http.StatusNotFound, codeBlobUnknown)
		p.do(http.MethodDelete, p.location(begun)).expect(t, http.StatusNoContent, "")
	}
	p.send(http.MethodPost, "/v2/third/blobs/uploads/?mount=sha256:x&from=team/app", nil).expect(t, http.StatusBadRequest, codeDigestInvalid)
}

func TestSpecPushingManifests(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := append(p.image("app", []byte("layer")), "\n  "...) // an exact representation MUST be stored
	d := digest.FromBytes(image).String()
	for _, reference := range []string{d, "v1", strings.Repeat("t", 128), "_"} {
		put := p.manifest("app", reference, image).expect(t, http.StatusCreated, "")
		p.isThere(put, image)
		got := p.both("/v2/app/manifests/"+reference).expect(t, http.StatusOK, "")
		if !bytes.Equal(got.body, image) || got.Header.Get("Content-Type") != ocispec.MediaTypeImageManifest {
			t.Errorf("%s: %s %v", reference, got.body, got.Header)
		}
	}
	p.manifest("app", strings.Repeat("t", 129), image).expect(t, http.StatusBadRequest, codeManifestInvalid)
	p.manifest("app", "1", p.image("app")).expect(t, http.StatusCreated, "") // layers MAY be none
	p.manifest("other", "1", image).expect(t, http.StatusNotFound, codeManifestBlobUnknown)
	index := oci.NewIndex([]ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(d), Size: int64(len(image))}})
	p.manifest("app", "index", encoded(t, index)).expect(t, http.StatusCreated, "")
	index.Manifests[0].Digest = digest.FromString("x")
	p.manifest("app", "index", encoded(t, index)).expect(t, http.StatusNotFound, codeManifestBlobUnknown)
	oneType := "Content-Type: " + ocispec.MediaTypeImageManifest
	p.send(http.MethodPut, "/v2/app/manifests/"+digest.FromString("x").String(), image, oneType).expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.send(http.MethodPut, "/v2/app/manifests/large", bytes.Repeat([]byte(" "), oci.MaxManifestSize+1), oneType).expect(t, http.StatusRequestEntityTooLarge, codeSizeInvalid)
	large := append(bytes.Clone(image), bytes.Repeat([]byte(" "), oci.MaxManifestSize-len(image))...) // 4 MiB MUST be taken
	p.isThere(p.manifest("app", "large", large).expect(t, http.StatusCreated, ""), large)
}

func TestSpecPushingManifestsWithSubject(t *testing.T) {
	p := startPush(t, t.TempDir())
	subject := p.image("app") // which is not there yet: the manifest MUST be taken
	d := digest.FromBytes(subject)
	data, pushed := p.referrer("app", "application/vnd.example.sbom", subject, nil)
	if pushed.Header.Get("OCI-Subject") != d.String() {
		t.Errorf("OCI-Subject is %q, expected %s", pushed.Header.Get("OCI-Subject"), d)
	}
	p.isThere(pushed, data)
	p.get("/v2/app/manifests/"+d.String()).expect(t, http.StatusNotFound, codeManifestUnknown)
	p.get("/v2/app/referrers/"+d.String()).expect(t, http.StatusOK, "", digest.FromBytes(data).String())
	alone := p.manifest("app", "1", subject).expect(t, http.StatusCreated, "")
	if alone.Header.Get("OCI-Subject") != "" {
		t.Errorf("a manifest without a subject has OCI-Subject %q", alone.Header.Get("OCI-Subject"))
	}
}
