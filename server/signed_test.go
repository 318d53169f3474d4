package server

import (
	"crypto/elliptic"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testsign"
)

// refused fails unless what is no registry's answer is 403, and says why.
func (s *site) refused(path, says string) {
	s.t.Helper()
	if r := s.get(path); r.StatusCode != http.StatusForbidden || !strings.Contains(string(r.body), says) {
		s.t.Errorf("%s: %s %s, want 403 that says %q", path, r.Status, r.body, says)
	}
}

// What is signed is served with all that it leads to, and its signature; what is not is
// refused by every name and digest, whether index.json lists it or not.
func TestSigned(t *testing.T) {
	by, other := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256), testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	amd, arm := l.Image("amd64", []byte("amd")), l.Image("arm64", []byte("arm"))
	index := oci.Named(l.Index(amd, arm), "docker.io/library/app:1")
	bad := oci.Named(l.Image("amd64", []byte("bad")), "docker.io/library/bad:1")
	hidden := l.Image("amd64", []byte("hidden"))
	theirs := oci.Named(l.Image("amd64", []byte("theirs")), "docker.io/library/theirs:1")
	wrong := oci.Named(l.Image("amd64", []byte("wrong")), "docker.io/library/wrong:1")
	attested := oci.Named(l.Image("amd64", []byte("attested")), "docker.io/library/attested:1")
	attestation := testsign.Bundle(l, map[string]any{"dsseEnvelope": testsign.Envelope(by, "https://slsa.dev/provenance/v1", attested.Digest)}, attested)
	sbom := testsign.Holding(l, &ocispec.Descriptor{MediaType: index.MediaType, Digest: index.Digest, Size: index.Size}, "application/spdx+json", l.Blob("application/spdx+json", []byte("{}")))
	signature := testsign.Signed(l, by, index.Digest, index)
	root := l.Publish(index, bad, theirs, wrong, attested, signature, sbom, attestation,
		testsign.Tagged(l, other, theirs.Digest, theirs.Digest), testsign.Tagged(l, by, index.Digest, wrong.Digest))
	s := start(t, Config{Local: blocks, Signed: testsign.Policy(t, by)})
	at := "/v2/" + ref.Ciq(root) + "/"
	for _, path := range []string{
		"app/manifests/1", "app/manifests/" + index.Digest.String(), "app/manifests/" + amd.Digest.String(), "app/manifests/" + arm.Digest.String(),
		"app/blobs/" + digest.FromString("amd").String(), "app/manifests/" + signature.Digest.String(),
	} {
		s.both(at+path).expect(t, http.StatusOK, "")
	}
	for path, says := range map[string]string{
		"bad/manifests/1":                                   "not signed",
		"bad/manifests/" + bad.Digest.String():              "not signed",
		"app/manifests/" + hidden.Digest.String():           "not signed",
		"app/blobs/" + digest.FromString("bad").String():    "not signed",
		"app/blobs/" + digest.FromString("hidden").String(): "not signed",
		"theirs/manifests/1":                                "signed by another key",
		"wrong/manifests/1":                                 "that of another image",
		"attested/manifests/1":                              "attested, and not signed",
		"app/manifests/" + sbom.Digest.String():             "not signed",
	} {
		s.both(at+path).expect(t, http.StatusForbidden, codeDenied, says)
	}
	s.get(at+"app/manifests/sha256:"+strings.Repeat("0", 64)).expect(t, http.StatusNotFound, codeManifestUnknown)
	if r := s.get(at + "app/referrers/" + index.Digest.String()); strings.Contains(string(r.body), sbom.Digest.String()) || !strings.Contains(string(r.body), signature.Digest.String()) {
		t.Errorf("what refers to the image: %s %s", r.Status, r.body)
	}
	s.refused("/ipfs/"+root.String()+"/", "by /v2/ alone")
	s.refused("/ipfs/"+root.String()+"/blobs/sha256/"+bad.Digest.Encoded(), "not signed")
}

// A root that is signed as a whole is served as a gateway would, and only from its root.
func TestSignedBlocks(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := oci.Named(l.Image("amd64", []byte("layer")), "docker.io/library/app:1")
	root := l.Publish(image, testsign.Tagged(l, by, image.Digest, image.Digest))
	s := start(t, Config{Local: blocks, Signed: testsign.Policy(t, by)})
	for range 2 {
		s.get("/ipfs/"+root.String()+"/blobs/sha256/"+image.Digest.Encoded()).expect(t, http.StatusOK, "")
		s.get("/ipfs/"+root.String()+"?format=car").expect(t, http.StatusOK, "")
	}
	if r := s.get("/metrics"); !strings.Contains(string(r.body), `image2ipfs_cache_entries{cache="signatures"} 1`) {
		t.Errorf("what is known of signatures is not told: %s", r.Status)
	}
	link, err := ipfs.AddFile(t.Context(), blocks, strings.NewReader("a file"))
	if err != nil {
		t.Fatal(err)
	}
	s.refused("/ipfs/"+link.CID.String(), "by its root")
	s.get("/ipfs/bafkqaaa?format=raw").expect(t, http.StatusOK, "") // carries its own content
}

// A name that moves to what is not signed stays what it was, however often it moves so; its
// record is not passed on.
func TestSignedMoving(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	publish := func(layer string, isSigned bool) (cid.Cid, ocispec.Descriptor) {
		l := testlayout.New(t, blocks)
		image := oci.Named(l.Image("amd64", []byte(layer)), "docker.io/library/app:1")
		top := []ocispec.Descriptor{image}
		if isSigned {
			top = append(top, testsign.Tagged(l, by, image.Digest, image.Digest))
		}
		return l.Publish(top...), image
	}
	good, first := publish("good", true)
	bad, second := publish("bad", false)
	worse, _ := publish("worse", false)
	worst, _ := publish("worst", false)
	newer, third := publish("newer", true)
	names := &movable{}
	s := start(t, Config{Local: blocks, Names: names, Signed: testsign.Policy(t, by)})
	tag := "/v2/" + movingName + "/app/manifests/1"
	is := func(want ocispec.Descriptor) reply {
		t.Helper()
		r := s.both(tag).expect(t, http.StatusOK, "")
		if got := r.Header.Get("Docker-Content-Digest"); got != want.Digest.String() {
			t.Fatalf("it is %s, want %s", got, want.Digest)
		}
		return r
	}
	names.set(ipfs.Meaning{Root: bad, Got: time.Now()}, nil)
	s.get(tag).expect(t, http.StatusForbidden, codeDenied, "not signed")
	names.set(ipfs.Meaning{Root: bad, Before: []cid.Cid{good}, Got: time.Now(), Record: []byte("record")}, nil)
	if w := is(first).Header.Get("Warning"); !strings.Contains(w, ref.Ciq(bad)) || !strings.Contains(w, ref.Ciq(good)) {
		t.Errorf("the client is told %q", w)
	}
	s.refused("/ipns/"+movingName+"?format=ipns-record", "not signed")
	s.get("/v2/"+movingName+"/app/manifests/"+first.Digest.String()).expect(t, http.StatusOK, "")
	s.get("/v2/"+movingName+"/app/manifests/"+second.Digest.String()).expect(t, http.StatusForbidden, codeDenied)
	names.set(ipfs.Meaning{Root: worst, Before: []cid.Cid{worse, bad}, Got: time.Now()}, nil)
	is(first) // nobody but this server remembers
	s.get("/v2/"+movingName+"/app/blobs/"+digest.FromString("good").String()).expect(t, http.StatusOK, "")
	names.set(ipfs.Meaning{Root: newer, Before: []cid.Cid{worst, worse}, Got: time.Now()}, nil)
	if w := is(third).Header.Get("Warning"); w != "" {
		t.Errorf("the client is warned: %q", w)
	}
}

// Whoever has a signature of another image gets nothing of his own served by it.
func TestSmuggledImage(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	for _, e := range testsign.Smuggle(t, by) {
		s := start(t, Config{Local: e.Blocks, Signed: testsign.Policy(t, by)})
		at := "/v2/" + ref.Ciq(e.Root) + "/app/"
		for _, path := range []string{"manifests/1", "manifests/" + e.Image.Digest.String(), "blobs/" + e.Image.Digest.String(), "blobs/" + digest.FromString("evil").String()} {
			s.both(at+path).expect(t, http.StatusForbidden, codeDenied)
		}
		if e.How == "as a bundle" {
			s.both("/v2/"+ref.Ciq(e.Root)+"/bundle/manifests/1").expect(t, http.StatusForbidden, codeDenied)
		}
		s.refused("/ipfs/"+e.Root.String()+"/blobs/sha256/"+e.Image.Digest.Encoded(), "not signed")
	}
}

// What index.json lists is signed as an image, where a root is served as a whole: who gets
// it would pull a layer that it calls a manifest.
func TestSignedListing(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	inner := l.Image("amd64", []byte("inner"))
	outer := oci.Named(l.Image("amd64", l.Content(inner.Digest)), "docker.io/library/app:1")
	for _, d := range l.Digests() {
		if string(l.Content(d)) == "inner" || strings.Contains(string(l.Content(d)), digest.FromString("inner").String()) && d != inner.Digest {
			l.Without(d)
		}
	}
	root := l.Publish(outer, oci.Named(inner, "docker.io/library/inner:1"), testsign.Tagged(l, by, outer.Digest, outer.Digest))
	s := start(t, Config{Local: blocks, Signed: testsign.Policy(t, by)})
	s.get("/v2/"+ref.Ciq(root)+"/app/blobs/"+inner.Digest.String()).expect(t, http.StatusOK, "")
	s.get("/v2/"+ref.Ciq(root)+"/app/manifests/"+inner.Digest.String()).expect(t, http.StatusForbidden, codeDenied)
	s.refused("/ipfs/"+root.String()+"/index.json", "not signed")
}

// What lies beside a layout in its root is signed by nobody, whatever is in the layout.
func TestSignedExtra(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	for name, says := range map[string]string{"extra": "extra", "oci-layout": "something else"} {
		blocks := testlayout.NewBlocks()
		l := testlayout.New(t, blocks)
		l.Extra = map[string][]byte{name: []byte(`{"imageLayoutVersion":"1.0.0","more":"unsigned"}`)}
		image := oci.Named(l.Image("amd64", []byte("good")), "docker.io/library/app:1")
		root := l.Publish(image, testsign.Tagged(l, by, image.Digest, image.Digest))
		s := start(t, Config{Local: blocks, Signed: testsign.Policy(t, by)})
		for _, path := range []string{"/" + name, "/index.json", "/", "?format=car"} {
			s.refused("/ipfs/"+root.String()+path, says)
		}
		s.get("/v2/"+ref.Ciq(root)+"/app/manifests/1").expect(t, http.StatusOK, "")
	}
}

// Other bytes under the digest of what is signed are not served, whole or in ranges.
func TestSignedLie(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := oci.Named(l.Image("amd64", []byte("good"), []byte("fine")), "docker.io/library/app:1")
	l.Lie(digest.FromString("good"), []byte("evil"))
	root := l.Publish(image, testsign.Tagged(l, by, image.Digest, image.Digest))
	lie, fine := digest.FromString("good"), digest.FromString("fine")
	at := "/v2/" + ref.Ciq(root) + "/app/blobs/"
	s := start(t, Config{Local: blocks, Signed: testsign.Policy(t, by)})
	for range 2 {
		s.get(at+fine.String()).expect(t, http.StatusOK, "")
		s.get(at+lie.String()).expect(t, http.StatusForbidden, codeDenied, "other bytes")
		s.get(at+lie.String(), "Range: bytes=0-1").expect(t, http.StatusForbidden, codeDenied, "other bytes")
		s.refused("/ipfs/"+root.String()+"/blobs/sha256/"+lie.Encoded(), "other bytes")
		s.refused("/ipfs/"+root.String()+"/blobs/sha256/"+lie.Encoded()+"?format=raw", "other bytes")
		s.refused("/ipfs/"+root.String()+"?format=car", "other bytes")
	}
	s.get("/ipfs/"+root.String()+"/blobs/sha256/"+fine.Encoded()).expect(t, http.StatusOK, "")
	s = start(t, Config{Remote: []ipfs.Getter{blocks}, Open: true, Signed: testsign.Policy(t, by)})
	s.get(at+fine.String()).expect(t, http.StatusOK, "")
	res, err := http.Get(s.url + at + lie.String())
	if err == nil {
		var body []byte
		body, err = io.ReadAll(res.Body)
		if len(body) > 0 {
			t.Errorf("from elsewhere: %s %q", res.Status, body)
		}
		res.Body.Close()
	}
	if err == nil {
		t.Error("a blob from elsewhere that has other bytes is served to its end")
	}
}
