package ipfs

import (
	"context"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
)

// Known is a content that lies in a store as a file.
type Known struct {
	Link
	Digest digest.Digest // of the file's bytes, SHA-256
	Blocks int           // of the file, counted as often as they occur

	Numbers [5]uint64 // whatever whoever remembers it wants to know besides
}

// Memory is a [Tx] whose store remembers from one publication to the next
// which file became of a content, so that it need not be made again. Forgetting
// costs time only: with and without memory the same is published.
type Memory interface {
	// Recall gives what was remembered under a key, as long as all its blocks
	// are in the store; they stay there until Commit or Abort.
	Recall(ctx context.Context, key string) (Known, bool)
	// Remember keeps k under a key when Commit succeeds.
	Remember(key string, k Known)
}

// Teller is a [Putter] that tells whether the store had a block already.
type Teller interface {
	PutNew(ctx context.Context, c cid.Cid, data []byte) (added bool, err error)
}
