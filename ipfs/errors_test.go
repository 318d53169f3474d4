package ipfs_test

import (
	"errors"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Whoever asks for an error by name finds it wherever it comes from: what a layout
// lacks is not found, whether it is its directory or its block that says so.
func TestOneVocabulary(t *testing.T) {
	if !errors.Is(oci.ErrNotFound, ipfs.ErrNotFound) || !errors.Is(oci.ErrCorrupt, ipfs.ErrCorrupt) {
		t.Error("ipfs and oci have errors of their own for one thing")
	}
	if errors.Is(ipfs.ErrUnavailable, oci.ErrNotFound) || errors.Is(ipfs.ErrUnavailable, oci.ErrCorrupt) {
		t.Error("what cannot be had now passes for something worse")
	}
}
