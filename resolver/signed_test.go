package resolver

import (
	"crypto/elliptic"
	"errors"
	"io"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testsign"
	"github.com/image2ipfs/image2ipfs/trust"
)

// Who requires signatures resolves and fetches nothing else, by name or by digest, and a
// name that moves to what is not signed stays what it was.
func TestSigned(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	policy := testsign.Policy(t, by)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	good := oci.Named(l.Image("amd64", []byte("good")), "docker.io/library/good:1")
	bad := oci.Named(l.Image("amd64", []byte("bad")), "docker.io/library/bad:1")
	signature := testsign.Signed(l, by, good.Digest, good)
	root := l.Publish(good, bad, signature)
	l = testlayout.New(t, blocks)
	unsigned := l.Publish(oci.Named(l.Image("amd64", []byte("unsigned")), "docker.io/library/good:1"))

	names := &movable{m: ipfs.Meaning{Root: unsigned, Before: []cid.Cid{root}}}
	r := newResolver(t, WithStore(blocks), WithNames(names), WithPolicy(policy))
	for _, name := range []string{ref.Ciq(root) + "/good:1", movingName + "/good:1"} {
		if _, desc, err := r.Resolve(t.Context(), name); err != nil || desc.Digest != good.Digest {
			t.Fatalf("%s: %v %v", name, desc.Digest, err)
		}
	}
	names.m.Before = nil // it is remembered
	if _, desc, err := r.Resolve(t.Context(), movingName+"/good:1"); err != nil || desc.Digest != good.Digest {
		t.Errorf("%v %v", desc.Digest, err)
	}
	for _, name := range []string{ref.Ciq(root) + "/bad:1", ref.Ciq(root) + "/bad@" + bad.Digest.String(), ref.Ciq(unsigned) + "/good:1"} {
		if _, _, err := r.Resolve(t.Context(), name); !errors.Is(err, trust.ErrUnsigned) || !errdefs.IsPermissionDenied(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{ref.Ciq(root) + "/good:1", movingName + "/good:1"} {
		f, err := r.Fetcher(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		layer := ocispec.Descriptor{Digest: digest.FromString("good"), Size: 4}
		content, err := f.Fetch(t.Context(), layer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		data, err := io.ReadAll(content)
		if err := errors.Join(err, content.Close()); err != nil || string(data) != "good" {
			t.Errorf("%s: %q %v", name, data, err)
		}
		for _, desc := range []ocispec.Descriptor{bad, {Digest: digest.FromString("bad"), Size: 3}} {
			if _, err := f.Fetch(t.Context(), desc); !errors.Is(err, trust.ErrUntrusted) || !errdefs.IsPermissionDenied(err) {
				t.Errorf("%s, %s: %v", name, desc.Digest, err)
			}
		}
	}
}

// Whoever has a signature of another image gets nothing of his own resolved or fetched by
// it, as a manifest or under another type.
func TestSmuggledImage(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	policy := testsign.Policy(t, by)
	for _, s := range testsign.Smuggle(t, by) {
		r := newResolver(t, WithStore(s.Blocks), WithPolicy(policy))
		for _, name := range []string{"/app:1", "/app@" + s.Image.Digest.String()} {
			if _, _, err := r.Resolve(t.Context(), ref.Ciq(s.Root)+name); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("%s, %s: %v", s.How, name, err)
			}
		}
		f, err := r.Fetcher(t.Context(), ref.Ciq(s.Root)+"/app:1")
		if err != nil {
			t.Fatal(err)
		}
		for _, desc := range []ocispec.Descriptor{s.Image, {Digest: s.Image.Digest, Size: s.Image.Size}, {Digest: digest.FromString("evil"), Size: 4}} {
			if _, err := f.Fetch(t.Context(), desc); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("%s, %s %q: %v", s.How, desc.Digest, desc.MediaType, err)
			}
		}
	}
}

// A layer that is signed is none of the images, whatever it holds.
func TestSignedLayerAsManifest(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	policy := testsign.Policy(t, by)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	inner := l.Image("amd64", []byte("inner"))
	outer := oci.Named(l.Image("amd64", l.Content(inner.Digest)), "docker.io/library/app:1")
	root := l.Publish(outer, testsign.Tagged(l, by, outer.Digest, outer.Digest))
	f, err := newResolver(t, WithStore(blocks), WithPolicy(policy)).Fetcher(t.Context(), ref.Ciq(root)+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(t.Context(), inner); !errors.Is(err, trust.ErrUntrusted) {
		t.Errorf("as a manifest: %v", err)
	}
	byDigest := f.(remotes.FetcherByDigest)
	if _, _, err := byDigest.FetchByDigest(t.Context(), inner.Digest, remotes.WithMediaType(inner.MediaType)); !errors.Is(err, trust.ErrUntrusted) {
		t.Errorf("as a manifest, by digest: %v", err)
	}
	content, _, err := byDigest.FetchByDigest(t.Context(), inner.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := content.Close(); err != nil {
		t.Error(err)
	}
}
