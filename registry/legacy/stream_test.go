package legacy

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Only old trees are converted; what else lies under a root is told apart.
func TestOpenToConvert(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	layout := l.Publish(l.Image("amd64", []byte("layer")))
	other := oldtree.Add(t, blocks, map[string][]byte{"readme": []byte("text")})
	old := oldtree.Add(t, blocks, oldtree.Files(t, "0.0.4", "app", oldtree.NewImage(t, "old", 100)))
	if _, err := OpenToConvert(t.Context(), blocks, layout); !errors.Is(err, ErrLayout) {
		t.Errorf("a layout: %v, want ErrLayout", err)
	}
	if _, err := OpenToConvert(t.Context(), blocks, other); !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), "neither") {
		t.Errorf("a text: %v, want ErrNotFound", err)
	}
	if tree, err := OpenToConvert(t.Context(), blocks, old); err != nil || len(tree.Stored) != 1 {
		t.Errorf("an old tree: %v", err)
	}
}

// Who reads a tree as an archive learns why that broke off, and leaves no writer
// behind when there is no need for the rest.
func TestStream(t *testing.T) {
	files := oldtree.Files(t, "0.0.4", "app", oldtree.NewImage(t, "old", 1<<20))
	tree, _ := open(t, files)
	s := tree.Stream(t.Context())
	if _, err := io.ReadFull(s, make([]byte, 600)); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil || s.Cause() != nil {
		t.Errorf("closed early: %v, cause %v", err, s.Cause())
	}

	for name := range files {
		if strings.Contains(name, "/blobs/") {
			files[name] = []byte("another content")
		}
	}
	tree, _ = open(t, files)
	s = tree.Stream(t.Context())
	if s.Cause() != nil {
		t.Errorf("a cause before the end: %v", s.Cause())
	}
	if _, err := io.Copy(io.Discard, s); !errors.Is(err, oci.ErrCorrupt) {
		t.Errorf("reading: %v, want ErrCorrupt", err)
	}
	if err := s.Close(); err != nil || !errors.Is(s.Cause(), oci.ErrCorrupt) {
		t.Errorf("closed: %v, cause %v", err, s.Cause())
	}
}
