package pushed_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/oci"
)

// spoil changes a byte of a text wherever the store has it.
func (b *bench) spoil(text string) {
	b.Helper()
	found := 0
	err := filepath.WalkDir(b.store.Path(), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(data, []byte(text)) {
			return err
		}
		found++
		return os.WriteFile(path, bytes.ReplaceAll(data, []byte(text), []byte(strings.ToUpper(text))), 0o600)
	})
	if err != nil || found == 0 {
		b.Fatalf("%d files have %q, %v", found, text, err)
	}
}

// check looks for a blob as who would push it does.
func (b *bench) check(repository string, d digest.Digest) error {
	place, err := b.Repository(repository).Locate(b.Context(), d)
	if err != nil {
		return err
	}
	return b.Whole(b.Context(), place.CID)
}

// Nobody mounts, or is told that they need not upload, what is damaged here; and the
// upload puts it right.
func TestDamagedBlobIsUploadedAgain(t *testing.T) {
	b := newBench(t)
	layer := b.blob("app", "what the layer has in it")
	if err := b.check("app", layer.Digest); err != nil {
		t.Fatal(err)
	}
	if err := b.Mount(t.Context(), "app", "other", layer.Digest); err != nil {
		t.Fatal(err)
	}
	b.spoil("what the layer has in it")
	if err := b.check("app", layer.Digest); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a damaged blob is there: %v", err)
	}
	if err := b.Mount(t.Context(), "app", "third", layer.Digest); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a damaged blob was mounted: %v", err)
	}
	b.blob("third", "what the layer has in it")
	for _, repository := range []string{"app", "other", "third"} {
		if err := b.check(repository, layer.Digest); err != nil {
			t.Errorf("after the upload: %v", err)
		}
	}
	if err := b.Mount(t.Context(), "app", "fourth", layer.Digest); err != nil {
		t.Error(err)
	}
}
