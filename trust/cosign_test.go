package trust_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/trust"
)

// archived publishes an archive of testdata.
func archived(t *testing.T, file string) (ipfs.Getter, cid.Cid, ocispec.Index) {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	var index ocispec.Index
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return blocks, l.Publish(index.Manifests...), index
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == ocispec.ImageIndexFile {
			if index, err = oci.ParseIndex(data); err != nil {
				t.Fatal(err)
			}
		} else if strings.HasPrefix(h.Name, "blobs/") {
			l.Blob("", data)
		}
	}
}

// What cosign 2.6.5 and 3.1.3 signed and attested, offline and without a log, is read.
func TestCosign(t *testing.T) {
	keys := map[string]*trust.Key{}
	for _, name := range []string{"cosign", "other"} {
		read, err := trust.ReadKeys(t.Context(), "testdata/"+name+".pub")
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = read[0]
	}
	for _, test := range []struct {
		file, key string
		want      error
		format    string
	}{
		{"cosign2.tar", "cosign", nil, trust.FormatSimpleSigning},
		{"cosign3.tar", "cosign", nil, trust.FormatBundle},
		{"cosign2.tar", "other", trust.ErrOtherKey, ""},
		{"cosign3.tar", "other", trust.ErrOtherKey, ""},
		{"attested.tar", "cosign", trust.ErrAttestationOnly, ""},
		{"attested.tar", "other", trust.ErrUnsigned, ""},
	} {
		g, root, index := archived(t, test.file)
		v := examine(t, g, root, keys[test.key])
		image := index.Manifests[0].Digest
		if err := v.Check(image); !errors.Is(err, test.want) {
			t.Errorf("%s, %s: %v, want %v", test.file, test.key, err, test.want)
		}
		if found := v.Signatures(image); test.want == nil && (len(found) != 1 || found[0].Format != test.format) {
			t.Errorf("%s: %+v, want one of format %s", test.file, found, test.format)
		}
		for _, beside := range index.Manifests[1:] { // signatures and attestations are served for who asks for them by that key
			if err := v.Check(beside.Digest); (err == nil) != (test.key == "cosign") {
				t.Errorf("%s, %s: %s beside the image: %v", test.file, test.key, beside.Digest, err)
			}
		}
	}
}
