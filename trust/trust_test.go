package trust_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testsign"
	"github.com/image2ipfs/image2ipfs/trust"
)

func examine(t *testing.T, g ipfs.Getter, root cid.Cid, keys ...*trust.Key) *trust.Verdict {
	t.Helper()
	l, err := layout.Open(t.Context(), g, root)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trust.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Examine(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Each kind of key signs by both formats, and only its own signature counts.
func TestKeys(t *testing.T) {
	other := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	for name, by := range testsign.All(t) {
		blocks := testlayout.NewBlocks()
		l := testlayout.New(t, blocks)
		one, two := l.Image("amd64", []byte("one")), l.Image("amd64", []byte("two"))
		root := l.Publish(one, two, testsign.Tagged(l, by, one.Digest, one.Digest), testsign.Signed(l, by, two.Digest, two))
		v := examine(t, blocks, root, other.Public, by.Public)
		for format, d := range map[string]digest.Digest{trust.FormatSimpleSigning: one.Digest, trust.FormatBundle: two.Digest} {
			found := v.Signatures(d)
			if err := v.Check(d); err != nil || len(found) != 1 || found[0].Format != format || found[0].Key != by.Public || found[0].Image != d {
				t.Errorf("%s, %s: %v %+v", name, format, err, found)
			}
		}
		v = examine(t, blocks, root, other.Public)
		for _, d := range []digest.Digest{one.Digest, two.Digest} {
			if err := v.Check(d); !errors.Is(err, trust.ErrOtherKey) || !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("%s, another key: %v", name, err)
			}
		}
	}
}

// refusal is what somebody has signed, and what comes of it.
type refusal struct {
	sign func(l *testlayout.Layout, image, another ocispec.Descriptor) []ocispec.Descriptor
	want error
	says string
}

// refusals are by who is trusted, and another.
func refusals(by, other testsign.Signer) map[string]refusal {
	return map[string]refusal{
		"unsigned": {func(*testlayout.Layout, ocispec.Descriptor, ocispec.Descriptor) []ocispec.Descriptor { return nil }, trust.ErrUnsigned, "cosign sign --key"},
		"another key's, by tag": {func(l *testlayout.Layout, image, _ ocispec.Descriptor) []ocispec.Descriptor {
			return []ocispec.Descriptor{testsign.Tagged(l, other, image.Digest, image.Digest)}
		}, trust.ErrOtherKey, "ecdsa.pub"},
		"another key's, by subject": {func(l *testlayout.Layout, image, _ ocispec.Descriptor) []ocispec.Descriptor {
			return []ocispec.Descriptor{testsign.Signed(l, other, image.Digest, image)}
		}, trust.ErrOtherKey, "ecdsa.pub"},
		"another image's, by tag": {func(l *testlayout.Layout, image, another ocispec.Descriptor) []ocispec.Descriptor {
			return []ocispec.Descriptor{testsign.Tagged(l, by, another.Digest, image.Digest)}
		}, trust.ErrOtherImage, "is that of sha256:"},
		"another image's, by subject": {func(l *testlayout.Layout, image, another ocispec.Descriptor) []ocispec.Descriptor {
			return []ocispec.Descriptor{testsign.Signed(l, by, another.Digest, image)}
		}, trust.ErrOtherImage, "is that of sha256:"},
		"a bundle's bytes of another image": {func(l *testlayout.Layout, image, another ocispec.Descriptor) []ocispec.Descriptor {
			return []ocispec.Descriptor{testsign.Bundle(l, map[string]any{"messageSignature": map[string]any{
				"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": testsign.SHA256([]byte("another"))}, "signature": by.Sign([]byte("another")),
			}}, image)}
		}, trust.ErrOtherImage, "says that it is that of"},
		"attestation only, as a bundle": {func(l *testlayout.Layout, image, _ ocispec.Descriptor) []ocispec.Descriptor {
			return []ocispec.Descriptor{testsign.Bundle(l, map[string]any{"dsseEnvelope": testsign.Envelope(by, "https://slsa.dev/provenance/v1", image.Digest)}, image)}
		}, trust.ErrAttestationOnly, "is no signature"},
		"attestation only, by tag": {func(l *testlayout.Layout, image, _ ocispec.Descriptor) []ocispec.Descriptor {
			layer := l.JSON("application/vnd.dsse.envelope.v1+json", testsign.Envelope(by, testsign.PredicateSign, image.Digest))
			return []ocispec.Descriptor{oci.Named(testsign.Holding(l, nil, "", layer), "app:"+oci.ReferrerTagOf(image.Digest, oci.SuffixAttestation))}
		}, trust.ErrAttestationOnly, "is no signature"},
		"no signature in it": {func(l *testlayout.Layout, image, _ ocispec.Descriptor) []ocispec.Descriptor {
			layer := testsign.Layer(l, by, image.Digest)
			layer.Annotations = nil
			return []ocispec.Descriptor{oci.Named(testsign.Holding(l, nil, "", layer), "app:"+oci.ReferrerTagOf(image.Digest, oci.SuffixSignature))}
		}, trust.ErrSignature, "base64"},
		"another kind of payload": {func(l *testlayout.Layout, image, _ ocispec.Descriptor) []ocispec.Descriptor {
			data := []byte(strings.Replace(string(testsign.Payload(image.Digest)), "cosign container", "other", 1))
			layer := l.Blob(testsign.TypeSimpleSigning, data)
			layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(by.Sign(data))}
			return []ocispec.Descriptor{oci.Named(testsign.Holding(l, nil, "", layer), "app:"+oci.ReferrerTagOf(image.Digest, oci.SuffixSignature))}
		}, trust.ErrSignature, "calls itself"},
		"a payload of wrong types": {func(l *testlayout.Layout, image, _ ocispec.Descriptor) []ocispec.Descriptor {
			data := []byte(strings.Replace(string(testsign.Payload(image.Digest)), `"`+image.Digest.String()+`"`, "7", 1))
			layer := l.Blob(testsign.TypeSimpleSigning, data)
			layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(by.Sign(data))}
			return []ocispec.Descriptor{oci.Named(testsign.Holding(l, nil, "", layer), "app:"+oci.ReferrerTagOf(image.Digest, oci.SuffixSignature))}
		}, trust.ErrSignature, "the payload: field critical.image.docker-manifest-digest: expected a string, found the number 7"},
	}
}

// What signs something else than the image does not count, and is told by name.
func TestRefusals(t *testing.T) {
	by, other := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256), testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	for name, test := range refusals(by, other) {
		t.Run(name, func(t *testing.T) {
			blocks := testlayout.NewBlocks()
			l := testlayout.New(t, blocks)
			image, another := l.Image("amd64", []byte("layer")), l.Image("arm64", []byte("another"))
			root := l.Publish(append(test.sign(l, image, another), image, another)...)
			v := examine(t, blocks, root, by.Public)
			err := v.Check(image.Digest)
			if !errors.Is(err, test.want) || !errors.Is(err, trust.ErrUntrusted) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), image.Digest.String()) {
				t.Errorf("got %v, want %v that says %q", err, test.want, test.says)
			}
			if err := v.Any(); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("anything: %v", err)
			}
			if err := v.CheckContent(digest.FromString("layer")); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("its layer: %v", err)
			}
			if !v.Final() {
				t.Error("the verdict is one for now")
			}
		})
	}
}

// A signed index covers its platforms and their contents, and nothing beside them; a
// signature of one platform does not cover the index.
func TestReached(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	amd, arm, beside := l.Image("amd64", []byte("amd")), l.Image("arm64", []byte("arm")), l.Image("riscv64", []byte("beside"))
	index := oci.Named(l.Index(amd, l.Index(arm)), "app:1")
	wide := oci.Named(l.Index(amd, beside), "app:2")
	signature := testsign.Tagged(l, by, index.Digest, index.Digest)
	v := examine(t, blocks, l.Publish(index, wide, signature), by.Public)
	for _, d := range []digest.Digest{index.Digest, amd.Digest, arm.Digest, signature.Digest} {
		if err := errors.Join(v.Check(d), v.CheckContent(d)); err != nil {
			t.Errorf("%s: %v", d, err)
		}
	}
	for _, d := range []digest.Digest{digest.FromString("amd"), digest.FromString("arm"), digest.FromBytes(testsign.Payload(index.Digest))} {
		if err := v.CheckContent(d); err != nil {
			t.Errorf("%s: %v", d, err)
		}
		if err := v.Check(d); !errors.Is(err, trust.ErrUnsigned) {
			t.Errorf("%s as a manifest: %v", d, err)
		}
	}
	for _, d := range []digest.Digest{wide.Digest, beside.Digest, digest.FromString("beside"), digest.FromString("nothing")} {
		if err := v.CheckContent(d); !errors.Is(err, trust.ErrUnsigned) || !strings.Contains(err.Error(), index.Digest.String()) {
			t.Errorf("%s: %v", d, err)
		}
	}
}

// The bytes of an image may be testsign.Signed, too, and a signature without a hint of what it signs.
func TestMessageSignature(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	for _, hint := range []bool{true, false} {
		blocks := testlayout.NewBlocks()
		l := testlayout.New(t, blocks)
		image := l.Image("amd64", []byte("layer"))
		content := l.Content(image.Digest)
		message := map[string]any{"signature": by.Sign(content)}
		if sum := sha256.Sum256(content); hint {
			message["messageDigest"] = map[string]any{"algorithm": "SHA2_256", "digest": sum[:]}
		}
		root := l.Publish(image, testsign.Bundle(l, map[string]any{"messageSignature": message}, image))
		if err := examine(t, blocks, root, by.Public).Check(image.Digest); err != nil {
			t.Errorf("hint %t: %v", hint, err)
		}
	}
}

// What pretends to be a signature is not served for one: an engine would run a tar that a
// real payload stands beside.
func TestSmuggled(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("layer"))
	tar := append([]byte("file\x00"), make([]byte, 1024)...)
	for name, extra := range map[string]ocispec.Descriptor{
		"as a signature": l.Blob(testsign.TypeSimpleSigning, tar), "as a layer": l.Blob(ocispec.MediaTypeImageLayer, tar),
	} {
		smuggled := oci.Named(testsign.Holding(l, nil, "", testsign.Layer(l, by, image.Digest), extra), "app:"+oci.ReferrerTagOf(image.Digest, oci.SuffixSignature))
		v := examine(t, blocks, l.Publish(image, smuggled), by.Public)
		for what, d := range map[string]digest.Digest{"manifest": smuggled.Digest, "tar": extra.Digest} {
			if err := v.CheckContent(d); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}

// One who signs after another leaves the first signature valid; who trusts one of them is
// given the image, and what both have signed only who trusts both.
func TestSeveralSignatures(t *testing.T) {
	by, other := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256), testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("layer"))
	both := oci.Named(testsign.Holding(l, nil, "", testsign.Layer(l, other, image.Digest), testsign.Layer(l, by, image.Digest)), "app:"+oci.ReferrerTagOf(image.Digest, oci.SuffixSignature))
	root := l.Publish(image, both)
	v := examine(t, blocks, root, by.Public)
	if err := v.Check(image.Digest); err != nil || v.Check(both.Digest) == nil {
		t.Errorf("by one key: %v, and what both signed: %v", err, v.Check(both.Digest))
	}
	v = examine(t, blocks, root, other.Public, by.Public)
	if err := errors.Join(v.Check(image.Digest), v.Check(both.Digest)); err != nil {
		t.Error(err)
	}
}

// failing has no block of some contents for now.
type failing struct {
	ipfs.Getter
	lacks map[cid.Cid]error
}

func (f failing) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := f.lacks[c]; err != nil {
		return nil, err
	}
	return f.Getter.Get(ctx, c)
}

// A signature that cannot be had now is nothing to decide by.
func TestSignatureOutOfReach(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("layer"))
	root := l.Publish(image, testsign.Tagged(l, by, image.Digest, image.Digest))
	opened, err := layout.Open(t.Context(), blocks, root)
	if err != nil {
		t.Fatal(err)
	}
	place, err := opened.Locate(t.Context(), digest.FromBytes(testsign.Payload(image.Digest)))
	if err != nil {
		t.Fatal(err)
	}
	for _, failure := range []error{ipfs.ErrUnavailable, ipfs.ErrNotFound} {
		g := failing{blocks, map[cid.Cid]error{place.CID: fmt.Errorf("block: %w", failure)}}
		v := examine(t, g, root, by.Public)
		if err := v.Check(image.Digest); !errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, trust.ErrUntrusted) || v.Final() {
			t.Errorf("%v: %v, final %t", failure, err, v.Final())
		}
		if err := v.Any(); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%v: anything: %v", failure, err)
		}
	}
}

// Files of keys that are none, private, weak or unknown are refused by name.
func TestReadKeys(t *testing.T) {
	dir := t.TempDir()
	if keys, err := trust.ReadKeys(t.Context(), "testdata/cosign.pub", "testdata/other.pub"); err != nil || len(keys) != 2 || keys[0].Name != "cosign.pub" || keys[0].Fingerprint == keys[1].Fingerprint {
		t.Errorf("%v %v", keys, err)
	}
	good := testsign.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public()
	for name, content := range map[string]string{
		"empty": "", "text": "hello\n", "private": "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
		"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "broken": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"p224": string(testsign.PEM(testsign.Must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).Public())), "rsa1024": rsa1024, "behind": string(testsign.PEM(good)) + "more",
	} {
		file := filepath.Join(dir, name+".pub")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := trust.ReadKeys(t.Context(), file); !errors.Is(err, trust.ErrKey) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rsa1024 is a key that is too weak.
const rsa1024 = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDaS8hA5lQbAYDZVj81b4PkD6kT
+VJ63oBQxUslHc9uqtDaohygsioT/BAcsojQEAuI2MptTzHkBaJGiulTNsqImi5o
ecYfJPIS/8NfzIqrujV/9nea/Hyg3taTSLLq1QM/Xh2K28k1iPrs2wtDJIp1P4y1
Bfmu5Wa6Dw2t+KsMQQIDAQAB
-----END PUBLIC KEY-----
`

// Whoever has a signature of another image, which is public, gets nothing of his own
// trusted by it.
func TestSmuggledImage(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	for _, s := range testsign.Smuggle(t, by) {
		v := examine(t, s.Blocks, s.Root, by.Public)
		none := s.Blobs
		if s.How != "as configs" { // of which one may be a config
			none = append(none, s.Claims[0].Digest, s.Claims[len(s.Claims)-1].Digest)
		}
		for _, d := range none {
			if err := v.Check(d); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("%s: %s %.200q as a manifest: %v", s.How, d, s.Layout.Content(d), err)
			}
		}
		for _, d := range []digest.Digest{s.Image.Digest, digest.FromString("evil")} {
			if err := v.CheckContent(d); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("%s: %s as a content: %v", s.How, d, err)
			}
		}
	}
}

// crowded has no room for what is read the n-th time.
type crowded struct{ n int }

func (c *crowded) Reading(context.Context, int64) (func(), error) {
	if c.n--; c.n == 0 {
		return nil, fmt.Errorf("%w: too many wait", budget.ErrFull)
	}
	return func() {}, nil
}

func (*crowded) Decoding(context.Context, int64) (func(), error) { return func() {}, nil }

// What a process had no room to read is not unsigned for good.
func TestNoRoom(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("one"))
	root := l.Publish(image, testsign.Tagged(l, by, image.Digest, image.Digest))
	policy := testsign.Policy(t, by)
	for n := 1; n < 10; n++ {
		opened, err := layout.Open(t.Context(), blocks, root)
		if err != nil {
			t.Fatal(err)
		}
		v, err := policy.Examine(ipfs.WithRoom(t.Context(), &crowded{n}), opened)
		if err != nil {
			continue
		}
		if err := v.Check(image.Digest); errors.Is(err, trust.ErrUntrusted) {
			t.Errorf("the read %d: %v, final %t", n, err, v.Final())
		}
	}
}
