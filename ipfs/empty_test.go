package ipfs_test

import (
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

func TestEmptyDirectory(t *testing.T) {
	if err := ipfs.VerifyBlock(ipfs.EmptyDirectory, ipfs.EmptyDirectoryBlock()); err != nil {
		t.Error(err)
	}
}
