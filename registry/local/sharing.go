package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Sharing tells what a blob has in common with the other published images.
type Sharing struct {
	Blocks       int   `json:"blocks"`
	Bytes        int64 `json:"bytes"`
	SharedBlocks int   `json:"sharedBlocks"`
	SharedBytes  int64 `json:"sharedBytes"`
}

// Sharing compares blobs of a layout with everything else that the stores keep. It
// reads the nodes of all images, not their contents. Blobs that the layout lacks, as
// those that are distributed elsewhere, are left out.
func (s Stores) Sharing(ctx context.Context, l *ipfs.Layout, blobs []digest.Digest) (map[digest.Digest]*Sharing, error) {
	others, err := s.blocks(ctx, l.Root)
	if err != nil {
		return nil, err
	}
	found := map[digest.Digest]*Sharing{}
	for _, d := range blobs {
		if found[d] != nil {
			continue
		}
		link, err := l.Blob(ctx, d)
		if errors.Is(err, ipfs.ErrNotFound) {
			continue
		}
		if err == nil {
			found[d], err = s.compare(ctx, link, others)
		}
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", d, err)
		}
	}
	return found, nil
}

// blocks are those of everything that the stores keep but root, by [cid.Cid.KeyString].
func (s Stores) blocks(ctx context.Context, root cid.Cid) (map[string]bool, error) {
	others := map[string]bool{}
	roots, err := s.Roots(ctx)
	if IsFatal(err) {
		return nil, err
	}
	for _, r := range roots {
		if string(r.CID.Hash()) == string(root.Hash()) {
			continue
		}
		err := ipfs.Blocks(ctx, r.Store, r.CID, 0, func(c cid.Cid, _ int64) bool {
			seen := others[c.KeyString()]
			others[c.KeyString()] = true
			return !seen
		})
		if err != nil {
			return nil, fmt.Errorf("comparing with %s: %w", r.CID, err)
		}
	}
	return others, nil
}

func (s Stores) compare(ctx context.Context, link ipfs.Link, others map[string]bool) (*Sharing, error) {
	sum := &Sharing{}
	err := ipfs.Blocks(ctx, s.Getter(), link.CID, link.Size, func(c cid.Cid, size int64) bool {
		sum.Blocks++
		sum.Bytes += size
		if others[c.KeyString()] {
			sum.SharedBlocks++
			sum.SharedBytes += size
		}
		return true
	})
	return sum, err
}
