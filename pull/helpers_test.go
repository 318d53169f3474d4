package pull_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/platforms"
	"github.com/ipfs/go-cid"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// selected is what a name behind the root means, on a platform when one is
// given.
func selected(t *testing.T, b *testlayout.Blocks, root cid.Cid, rest, platform string) (*pull.Image, error) {
	t.Helper()
	l, err := layout.Open(t.Context(), b, root)
	if err != nil {
		t.Fatal(err)
	}
	name, err := ref.ParseName(ref.Ciq(root) + rest)
	if err != nil {
		t.Fatal(err)
	}
	if platform == "" {
		return pull.Select(t.Context(), l, name, nil)
	}
	return pull.Select(t.Context(), l, name, platforms.Only(platforms.MustParse(platform)))
}

func mustSelect(t *testing.T, b *testlayout.Blocks, root cid.Cid, rest string) *pull.Image {
	t.Helper()
	i, err := selected(t, b, root, rest, "")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func readIndex(t *testing.T, dir string) ocispec.Index {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		t.Fatal(err)
	}
	index, err := oci.ParseIndex(data)
	if err != nil {
		t.Fatal(err)
	}
	return index
}
