// Package testsign signs images of tests as cosign 2 and 3 do.
package testsign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strconv"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/trust"
)

// Signer is a private key, and how it signs.
type Signer struct {
	Public *trust.Key
	Sign   func(message []byte) []byte
}

// Must is v, where making it cannot fail.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func keyOf(t *testing.T, name string, public any) *trust.Key {
	t.Helper()
	keys, err := trust.ParseKeys(name, PEM(public))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys: %v", len(keys), err)
	}
	return keys[0]
}

// PEM is a public key as cosign and openssl write it.
func PEM(public any) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: Must(x509.MarshalPKIXPublicKey(public))})
}

// SHA256 is a hash of a message.
func SHA256(message []byte) []byte { sum := sha256.Sum256(message); return sum[:] }

// SHA512 is the longest.
func SHA512(message []byte) []byte { sum := sha512.Sum512(message); return sum[:] }

// SHA384 is the one between.
func SHA384(message []byte) []byte {
	sum := sha512.Sum384(message)
	return sum[:]
}

// NewECDSA makes a key that signs what hash makes of a message.
func NewECDSA(t *testing.T, curve elliptic.Curve, hash func([]byte) []byte) Signer {
	private := Must(ecdsa.GenerateKey(curve, rand.Reader))
	return Signer{keyOf(t, "ecdsa.pub", private.Public()), func(message []byte) []byte {
		return Must(ecdsa.SignASN1(rand.Reader, private, hash(message)))
	}}
}

// All are those of each kind of key, and each way to sign with one.
func All(t *testing.T) map[string]Signer {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := Must(rsa.GenerateKey(rand.Reader, 2048))
	return map[string]Signer{
		"P-256":         NewECDSA(t, elliptic.P256(), SHA256),
		"P-384":         NewECDSA(t, elliptic.P384(), SHA384),
		"P-384, cosign": NewECDSA(t, elliptic.P384(), SHA256),
		"P-521":         NewECDSA(t, elliptic.P521(), SHA512),
		"P-521, cosign": NewECDSA(t, elliptic.P521(), SHA256),
		"Ed25519":       {keyOf(t, "ed25519.pub", ed.Public()), func(m []byte) []byte { return ed25519.Sign(ed, m) }},
		"Ed25519ph": {keyOf(t, "ed25519.pub", ed.Public()), func(m []byte) []byte {
			return Must(ed.Sign(rand.Reader, SHA512(m), &ed25519.Options{Hash: crypto.SHA512}))
		}},
		"RSA, PKCS #1": {keyOf(t, "rsa.pub", r.Public()), func(m []byte) []byte {
			return Must(rsa.SignPKCS1v15(rand.Reader, r, crypto.SHA256, SHA256(m)))
		}},
		"RSA, PSS": {keyOf(t, "rsa.pub", r.Public()), func(m []byte) []byte {
			return Must(rsa.SignPSS(rand.Reader, r, crypto.SHA256, SHA256(m), nil))
		}},
	}
}

// Media types of layers that hold signatures.
const (
	TypeSimpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	TypeBundle        = "application/vnd.dev.sigstore.bundle.v0.3+json"
	PredicateSign     = "https://sigstore.dev/cosign/sign/v1"
)

// Payload is what cosign 2 signs.
func Payload(of digest.Digest) []byte {
	return []byte(`{"critical":{"identity":{"docker-reference":"registry.example/app"},"image":{"docker-manifest-digest":"` + of.String() + `"},"type":"cosign container image signature"},"optional":null}`)
}

// Layer is a layer with a signature, as cosign 2 writes it.
func Layer(l *testlayout.Layout, by Signer, of digest.Digest) ocispec.Descriptor {
	data := Payload(of)
	layer := l.Blob(TypeSimpleSigning, data)
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(by.Sign(data))}
	return layer
}

// Holding is a manifest with these layers.
func Holding(l *testlayout.Layout, subject *ocispec.Descriptor, artifactType string, layers ...ocispec.Descriptor) ocispec.Descriptor {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: l.Blob(ocispec.MediaTypeImageConfig, []byte(`{}`)), Layers: layers, Subject: subject, ArtifactType: artifactType,
	}
	return l.JSON(ocispec.MediaTypeImageManifest, m)
}

// Tagged is a signature of cosign 2 of one image at the tag of another, or the same.
func Tagged(l *testlayout.Layout, by Signer, of, at digest.Digest) ocispec.Descriptor {
	return oci.Named(Holding(l, nil, "", Layer(l, by, of)), "registry.example/app:"+oci.ReferrerTagOf(at, oci.SuffixSignature))
}

// Envelope is a DSSE envelope with an in-toto statement.
func Envelope(by Signer, predicate string, of digest.Digest) map[string]any {
	body := Must(json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": map[string]any{},
		"subject": []any{map[string]any{"name": "", "digest": map[string]string{of.Algorithm().String(): of.Encoded()}}},
	}))
	const kind = "application/vnd.in-toto+json"
	pae := []byte("DSSEv1 28 " + kind + " " + strconv.Itoa(len(body)) + " " + string(body))
	return map[string]any{
		"payload": base64.StdEncoding.EncodeToString(body), "payloadType": kind,
		"signatures": []any{map[string]string{"sig": base64.StdEncoding.EncodeToString(by.Sign(pae))}},
	}
}

// Bundle is a referrer as cosign 3 writes it.
func Bundle(l *testlayout.Layout, content map[string]any, subject ocispec.Descriptor) ocispec.Descriptor {
	content["mediaType"] = TypeBundle
	content["verificationMaterial"] = map[string]any{"publicKey": map[string]string{"hint": "hint"}}
	return Holding(l, &ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}, TypeBundle, l.JSON(TypeBundle, content))
}

// Signed is a bundle that signs an image and stands at another, or the same.
func Signed(l *testlayout.Layout, by Signer, of digest.Digest, at ocispec.Descriptor) ocispec.Descriptor {
	return Bundle(l, map[string]any{"dsseEnvelope": Envelope(by, PredicateSign, of)}, at)
}
