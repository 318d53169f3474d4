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

// An index that is not signed is not pulled for a platform of which the manifest is.
func TestSignedPlatform(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	amd := l.Image("amd64", []byte("good"))
	amd.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	index := oci.Named(l.Index(amd), "docker.io/library/app:1")
	root := l.Publish(index, testsign.Tagged(l, by, amd.Digest, amd.Digest))
	open, err := layout.Open(t.Context(), blocks, root)
	if err != nil {
		t.Fatal(err)
	}
	wanted := pull.Wanted{Signed: testsign.Policy(t, by), Platforms: []ocispec.Platform{*amd.Platform}}
	for _, to := range []pull.Target{pull.Directory(t.TempDir()), pull.Archive{Path: filepath.Join(t.TempDir(), "tar"), Docker: true}} {
		for _, name := range []ref.Name{{Root: root}, {Root: root, Repository: "app", Tag: "1"}, {Root: root, Digest: index.Digest}} {
			if _, err := pull.Prepare(t.Context(), open, name, to, wanted); !errors.Is(err, trust.ErrUnsigned) {
				t.Errorf("%s to %s: %v", name, to, err)
			}
		}
		if _, err := pull.Prepare(t.Context(), open, ref.Name{Root: root, Digest: amd.Digest}, to, wanted); err != nil {
			t.Errorf("the manifest that is signed, to %s: %v", to, err)
		}
	}
}

// What is kept of a pull is the whole layout, so all of it has to be signed.
func TestRequireWhole(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	for _, alone := range []bool{true, false} {
		blocks := testlayout.NewBlocks()
		l := testlayout.New(t, blocks)
		good := oci.Named(l.Image("amd64", []byte("good")), "docker.io/library/good:1")
		top := []ocispec.Descriptor{good, testsign.Tagged(l, by, good.Digest, good.Digest)}
		if !alone {
			top = append(top, oci.Named(l.Image("amd64", []byte("evil")), "docker.io/library/evil:1"))
		}
		root := l.Publish(top...)
		open, err := layout.Open(t.Context(), blocks, root)
		if err != nil {
			t.Fatal(err)
		}
		for _, policy := range []*trust.Policy{nil, testsign.Policy(t, by)} {
			job, err := pull.Prepare(t.Context(), open, ref.Name{Root: root, Repository: "good", Tag: "1"}, pull.Directory(t.TempDir()), pull.Wanted{Signed: policy})
			if err != nil {
				t.Fatal(err)
			}
			if err := job.Image.RequireWhole(t.Context()); (err == nil) != (alone || policy == nil) || err != nil && !errors.Is(err, trust.ErrUnsigned) {
				t.Errorf("alone %v, policy %v: %v", alone, policy, err)
			}
		}
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
