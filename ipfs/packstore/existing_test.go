package packstore_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

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

// What a store has cannot be told while its directory is elsewhere: that is no
// proof that a block is missing.
func TestStoreMovedAway(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	c := cid.NewCidV1(cid.Raw, []byte{multihash.IDENTITY, 0})
	if _, err := s.Get(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("got %v, want %v", err, ipfs.ErrNotFound)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), c); !errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("got %v, want %v", err, ipfs.ErrUnavailable)
	}
}
