package publish

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Sharing tells how much of a content the store had already.
type Sharing struct {
	Blocks    int   `json:"blocks"`    // of the content, with the nodes above its leaves
	NewBlocks int   `json:"newBlocks"` // those that were not there before; -1 when the store does not tell
	NewBytes  int64 `json:"newBytes"`  // their bytes; -1 when the store does not tell

	known bool // the store remembered it
}

// Blob is a content of the published layout. What several contents of one
// archive have in common is new in the one that came first.
type Blob struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	Size      int64         `json:"size"`
	Sharing
}

// tally puts blocks and counts them.
type tally struct {
	mu *sync.Mutex // of the transaction
	p  ipfs.Putter
	Sharing
}

func newTally(mu *sync.Mutex, p ipfs.Putter) *tally {
	t := &tally{mu: mu, p: p}
	if _, ok := p.(ipfs.Teller); !ok {
		t.NewBlocks, t.NewBytes = -1, -1
	}
	return t
}

func (t *tally) Put(ctx context.Context, c cid.Cid, data []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Blocks++
	teller, ok := t.p.(ipfs.Teller)
	if !ok {
		return ofStore(t.p.Put(ctx, c, data))
	}
	added, err := teller.PutNew(ctx, c, data)
	if added {
		t.NewBlocks++
		t.NewBytes += int64(len(data))
	}
	return ofStore(err)
}

// layers lists the layers among needed, in the order of the manifests.
func layers(needed []ocispec.Descriptor, at func(digest.Digest) (stored, bool)) []Blob {
	var blobs []Blob
	for _, desc := range needed {
		s, ok := at(desc.Digest)
		if !ok || !strings.Contains(desc.MediaType, "layer") && !strings.Contains(desc.MediaType, "diff.tar") {
			continue
		}
		blobs = append(blobs, Blob{Digest: desc.Digest, MediaType: desc.MediaType, Size: s.Size, Sharing: s.share})
	}
	return slices.Clip(blobs)
}
