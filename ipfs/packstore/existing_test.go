package packstore_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// Who only reads does not make a store where a disk is not mounted or a path
// was mistyped.
func TestOpenExisting(t *testing.T) {
	path := newPath(t)
	_, err := packstore.OpenExisting(path)
	if !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), "there is no store at "+path) {
		t.Errorf("without a store: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	open(t, path)
	s, err := packstore.OpenExisting(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
