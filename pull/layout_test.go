package pull_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// What lies in the layout already is checked, and fetched again when it is
// damaged.
func TestDamagedBlobIsReplaced(t *testing.T) {
	b, dir := testlayout.NewBlocks(), t.TempDir()
	l := testlayout.New(t, b)
	i := mustSelect(t, b, l.Publish(oci.Named(l.Image("amd64", []byte("layer")), "app:1")), "/app:1")
	if err := i.ToDirectory(t.Context(), dir, pull.Progress{}); err != nil {
		t.Fatal(err)
	}
	for _, desc := range i.Blobs {
		path := filepath.Join(dir, oci.BlobPath(desc.Digest))
		right, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat("x", len(right))), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := i.ToDirectory(t.Context(), dir, pull.Progress{}); err != nil {
			t.Fatal(err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != string(right) {
			t.Errorf("%s is now %q (%v), want %q", desc.Digest, now, err, right)
		}
	}
}

// Images that are pulled into one layout at the same time are all there in the
// end.
func TestPullsIntoOneLayout(t *testing.T) {
	b, dir := testlayout.NewBlocks(), t.TempDir()
	var wait sync.WaitGroup
	names := []string{"one:1", "two:1", "three:1", "four:1"}
	for _, name := range names {
		l := testlayout.New(t, b)
		i := mustSelect(t, b, l.Publish(oci.Named(l.Image("amd64", []byte(name), []byte("shared")), name)), "/"+name)
		wait.Go(func() {
			if err := i.ToDirectory(t.Context(), dir, pull.Progress{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(string(index), name) {
			t.Errorf("%s is not in the index: %s", name, index)
		}
	}
}
