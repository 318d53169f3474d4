package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// raw sends the first bytes of a request with a body of n bytes, and gives the connection.
func (p *pushSite) raw(method, path string, n int, header string, body []byte) net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s\r\n", method, path, n, header)
	if _, err := conn.Write(body); err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return conn
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// What is asked for by password is no cache's to give to others, and lists of what may be
// pushed to in a moment are asked for anew.
func TestPushedCacheControl(t *testing.T) {
	dir := t.TempDir()
	store, err := packstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	closed, _, _ := startClosed(t, Config{Local: store, Dir: dir, Pushed: pushed.New(store, pushed.Options{})})
	open := startPush(t, t.TempDir())
	for _, c := range []struct {
		p       *pushSite
		headers []string
		forever string
	}{
		{open, nil, cacheForever},
		{&pushSite{closed, store}, []string{ann}, "private, max-age=31536000, immutable"},
	} {
		layer, config := []byte("layer"), []byte("{}")
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
		m.SchemaVersion = 2
		for _, b := range [][]byte{config, layer} {
			d := digest.FromBytes(b)
			c.p.send(http.MethodPost, "/v2/app/blobs/uploads/?digest="+d.String(), b, c.headers...).expect(t, http.StatusCreated, "")
			m.Config, m.Layers = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: 2}, []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(b))}}
		}
		image := encoded(t, m)
		c.p.send(http.MethodPut, "/v2/app/manifests/1", image, append(c.headers, "Content-Type: "+m.MediaType)...).expect(t, http.StatusCreated, "")
		for path, want := range map[string]string{
			"app/manifests/1": "no-cache", "app/manifests/" + digest.FromBytes(image).String(): c.forever, "app/blobs/" + digest.FromBytes(layer).String(): c.forever,
			"app/tags/list": "no-cache", "_catalog": "no-cache", "app/referrers/" + digest.FromBytes(image).String(): "no-cache",
		} {
			if got := c.p.get("/v2/"+path, c.headers...).expect(t, http.StatusOK, ""); got.Header.Get("Cache-Control") != want {
				t.Errorf("%s with %v: Cache-Control %q, want %q", path, c.headers, got.Header.Get("Cache-Control"), want)
			}
		}
	}
}

// An upload of one request is over when that fails: its client was told of no place to go
// on, and 64 that stay open would shut it out.
func TestFailedSingleUpload(t *testing.T) {
	p := startPush(t, t.TempDir())
	p.s.cfg.Limits.Blob = 100
	at := "/v2/app/blobs/uploads/?digest=" + digest.FromString("0123456789").String()
	for range 3 {
		p.send(http.MethodPost, at, []byte("0123456789"), "Content-Range: 5-14").expect(t, http.StatusRequestedRangeNotSatisfiable, codeRangeInvalid)
		p.send(http.MethodPost, at, big(101)).expect(t, http.StatusRequestEntityTooLarge, codeSizeInvalid)
	}
	if n := p.s.uploads.count(); n != 0 {
		t.Errorf("%d uploads are open", n)
	}
	p.raw(http.MethodPost, at, 10, "", []byte("01234")).Close()
	until(t, "an upload whose connection is gone stays open", func() bool { return p.s.uploads.count() == 0 })
	p.send(http.MethodPost, at, []byte("0123456789")).expect(t, http.StatusCreated, "")
}

// The answer names the tags that were set, and a request that contradicts itself sets none.
func TestManifestParameters(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app", []byte("layer"))
	d, other := digest.FromBytes(image).String(), digest.FromString("other").String()
	kind := "Content-Type: " + oci.SniffMediaType(image)
	put := func(reference string) reply {
		return p.send(http.MethodPut, "/v2/app/manifests/"+reference, image, kind)
	}
	put("2?tag=three&tag=bad%20tag%0d%0aX-Evil:1").expect(t, http.StatusBadRequest, codeManifestInvalid)
	put("2?tag=three").expect(t, http.StatusBadRequest, codeManifestInvalid, "beside a digest")
	put("2?digest="+other).expect(t, http.StatusBadRequest, codeDigestInvalid)
	put(d+"?digest="+other).expect(t, http.StatusBadRequest, codeDigestInvalid, "expected one digest")
	put("2?digest="+d+"&digest="+other).expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.get("/v2/app/tags/list").expect(t, http.StatusNotFound, codeNameUnknown)
	got := put(d+"?tag=b&tag=a&tag=b&digest="+d).expect(t, http.StatusCreated, "")
	if tags := strings.Join(got.Header.Values("OCI-Tag"), " "); tags != "a b" {
		t.Errorf("OCI-Tag %q", tags)
	}
	p.get("/v2/app/manifests/a").expect(t, http.StatusOK, "")
	if got := put("c?digest="+d).expect(t, http.StatusCreated, ""); got.Header.Get("OCI-Tag") != "" {
		t.Errorf("OCI-Tag %q without ?tag=", got.Header.Get("OCI-Tag"))
	}
}

// Content-Range counts where no Content-Length says how long a chunk is, too.
func TestChunkOfAnotherLength(t *testing.T) {
	p := startPush(t, t.TempDir())
	chunked := func(at, span, body string) *http.Response {
		t.Helper()
		r, err := http.NewRequest(http.MethodPatch, p.url+at, io.MultiReader(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Range", span)
		got, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		return got
	}
	at := p.begin("app")
	for _, c := range []struct{ span, body, is string }{{"0-4", "0123456789", "0-4"}, {"5-9", "567", "0-7"}} {
		if got := chunked(at, c.span, c.body); got.StatusCode != http.StatusRequestedRangeNotSatisfiable || got.Header.Get("Range") != c.is {
			t.Errorf("%q as %s: %s, range %q", c.body, c.span, got.Status, got.Header.Get("Range"))
		}
	}
	if got := chunked(at, "8-9", "89"); got.StatusCode != http.StatusAccepted {
		t.Errorf("the rest: %s", got.Status)
	}
	p.send(http.MethodPut, at+"?digest="+digest.FromString("0123456789").String(), nil).expect(t, http.StatusCreated, "")
}

// A client that reads no answer before it has sent all sees why its manifest is refused,
// and may go on by the same connection where all of it came.
func TestRefusedManifestIsRead(t *testing.T) {
	p := startPush(t, t.TempDir())
	kind := "Content-Type: " + ocispec.MediaTypeImageManifest + "\r\n"
	for _, c := range []struct {
		what, path, header string
		n, status          int
	}{
		{"too large", "app/manifests/1", kind, oci.MaxManifestSize + 1, http.StatusRequestEntityTooLarge},
		{"no type", "app/manifests/1", "", 3 << 20, http.StatusBadRequest},
		{"a CID", "ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi/app/manifests/1", kind, 3 << 20, http.StatusMethodNotAllowed},
	} {
		conn := p.raw(http.MethodPut, "/v2/"+c.path, c.n, c.header, bytes.Repeat([]byte(" "), c.n))
		got, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if got.StatusCode != c.status || got.Close {
			t.Errorf("%s: %s, closed: %v", c.what, got.Status, got.Close)
		}
	}
}

// Why a name is read-only where others are pushed to is said of that name.
func TestNamesOfOthersAreReadOnly(t *testing.T) {
	p := startPush(t, t.TempDir())
	const root = "ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi"
	const key = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"
	image := []byte("{}")
	for name, c := range map[string]struct {
		status int
		code   errorCode
		text   string
	}{
		root + "/app":                 {http.StatusMethodNotAllowed, codeUnsupported, "begins with a CID"},
		"example.com/" + root:         {http.StatusBadRequest, codeNameInvalid, "begins with a CID"},
		key + "/app":                  {http.StatusBadRequest, codeNameInvalid, "begins with an IPNS name"},
		"example.com/" + key + "/app": {http.StatusBadRequest, codeNameInvalid, "begins with an IPNS name"},
	} {
		p.send(http.MethodPut, "/v2/"+name+"/manifests/1", image, "Content-Type: "+ocispec.MediaTypeImageManifest).expect(t, c.status, c.code, c.text)
		p.send(http.MethodPost, "/v2/"+name+"/blobs/uploads/", nil).expect(t, c.status, c.code, c.text)
	}
	for moving, want := range map[string]string{"": "a CID", key: "an IPNS name", "example.com": "a domain of --dnslink"} {
		if got := whatBegins(moving); got != want {
			t.Errorf("%q: %s", moving, got)
		}
	}
}

// Who comes back to an upload whose connection hangs is told to ask again, not that the
// upload is broken.
func TestBusyUpload(t *testing.T) {
	p := startPush(t, t.TempDir())
	at := p.begin("app")
	conn := p.raw(http.MethodPatch, at, 10, "", []byte("01234"))
	until(t, "the upload is never busy", func() bool { return p.get(at).StatusCode == http.StatusTooManyRequests })
	for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodDelete, http.MethodPut} {
		got := p.send(method, at, []byte("x")).expect(t, http.StatusTooManyRequests, codeTooMany, "ask again")
		if got.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: Retry-After %q", method, got.Header.Get("Retry-After"))
		}
	}
	conn.Close()
	until(t, "the upload stays busy", func() bool { return p.get(at).StatusCode == http.StatusNoContent })
}

// Each algorithm that an upload may be begun for is one that it can be ended by.
func TestUploadAlgorithms(t *testing.T) {
	p := startPush(t, t.TempDir())
	refused := p.send(http.MethodPost, "/v2/app/blobs/uploads/?digest-algorithm=md5", nil).expect(t, http.StatusBadRequest, codeDigestInvalid)
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		if !strings.Contains(string(refused.body), a.String()) {
			t.Errorf("not said to be known: %s", a)
		}
		at := p.send(http.MethodPost, "/v2/app/blobs/uploads/?digest-algorithm="+a.String(), nil).expect(t, http.StatusAccepted, "").Header.Get("Location")
		d := a.FromString(a.String())
		p.send(http.MethodPut, at+"?digest="+d.String(), []byte(a)).expect(t, http.StatusCreated, "")
		p.get("/v2/app/blobs/"+d.String()).expect(t, http.StatusOK, "")
	}
}
