package publish

import (
	"context"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// addTree puts the directories above files, given by path, on IPFS: the link to
// the uppermost and the bytes in all files.
func addTree(ctx context.Context, p ipfs.Putter, files map[string]stored) (root ipfs.Link, size int64, err error) {
	links := make(map[string]ipfs.Link, len(files))
	for path, f := range files {
		links[path] = f.Link
		size += f.Size
	}
	root, err = ipfs.AddTree(ctx, p, links)
	return root, size, err
}

// blobBytes are the bytes of the blobs among the files of a layout.
func blobBytes(files map[string]stored) (n int64) {
	for path, f := range files {
		if strings.HasPrefix(path, ocispec.ImageBlobsDir+"/") {
			n += f.Size
		}
	}
	return n
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
