package ipfs

import (
	"slices"

	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
)

// EmptyDirectory is the CID of the directory without entries, a block that every
// IPFS node has (Kubo pins it).
var EmptyDirectory = cid.MustParse("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354")

var emptyDirectory = unixfs.EmptyDirNode().RawData()

// EmptyDirectoryBlock is the block of [EmptyDirectory]; it is the caller's.
func EmptyDirectoryBlock() []byte { return slices.Clone(emptyDirectory) }
