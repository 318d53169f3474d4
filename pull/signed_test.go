package pull_test

import (
	"crypto/elliptic"
	"errors"
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testsign"
	"github.com/image2ipfs/image2ipfs/trust"
)

// What is pulled is signed as required, with its signature and without what others have put
// beside it; one image that is not signed is enough to refuse all of a layout.
func TestSigned(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	policy := testsign.Policy(t, by)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	good := oci.Named(l.Image("amd64", []byte("good")), "docker.io/library/good:1")
	signature := testsign.Signed(l, by, good.Digest, good)
	sbom := testsign.Holding(l, &ocispec.Descriptor{MediaType: good.MediaType, Digest: good.Digest, Size: good.Size}, "application/spdx+json", l.Blob("application/spdx+json", []byte(`{}`)))
	one := l.Publish(good, signature, sbom)
	bad := oci.Named(l.Image("amd64", []byte("bad")), "docker.io/library/bad:1")
	two := l.Publish(good, signature, bad)

	open, err := layout.Open(t.Context(), blocks, one)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	job, err := pull.Prepare(t.Context(), open, ref.Name{Root: one}, pull.Directory(dir), pull.Wanted{Signed: policy})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pull.Directory(dir).Pull(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if got := readIndex(t, dir).Manifests; len(got) != 2 || got[0].Digest != good.Digest || got[1].Digest != signature.Digest {
		t.Errorf("index.json has %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(oci.BlobPath(sbom.Digest)))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the SBOM that nobody signed: %v", err)
	}
	if open, err = layout.Open(t.Context(), blocks, two); err != nil {
		t.Fatal(err)
	}
	for _, name := range []ref.Name{{Root: two}, {Root: two, Repository: "bad", Tag: "1"}, {Root: two, Digest: bad.Digest}} {
		if _, err := pull.Prepare(t.Context(), open, name, pull.Directory(dir), pull.Wanted{Signed: policy}); !errors.Is(err, trust.ErrUnsigned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pull.Prepare(t.Context(), open, ref.Name{Root: two, Repository: "good", Tag: "1"}, pull.Directory(dir), pull.Wanted{Signed: policy}); err != nil {
		t.Errorf("the one that is signed: %v", err)
	}
}

// Whoever has a signature of another image gets nothing of his own pulled by it.
func TestSmuggledImage(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	policy := testsign.Policy(t, by)
	for _, s := range testsign.Smuggle(t, by) {
		open, err := layout.Open(t.Context(), s.Blocks, s.Root)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []ref.Name{{Root: s.Root}, {Root: s.Root, Repository: "app", Tag: "1"}, {Root: s.Root, Digest: s.Image.Digest}} {
			if _, err := pull.Prepare(t.Context(), open, name, pull.Directory(t.TempDir()), pull.Wanted{Signed: policy}); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("%s, %s: %v", s.How, name, err)
			}
		}
	}
}
