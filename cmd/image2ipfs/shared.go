package main

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// sharing tells what a layer has in common with the other published images.
type sharing struct {
	Blocks       int   `json:"blocks"`
	Bytes        int64 `json:"bytes"`
	SharedBlocks int   `json:"sharedBlocks"`
	SharedBytes  int64 `json:"sharedBytes"`
}

func (s *sharing) String() string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("shared %s, %d of %d blocks", bytesText(s.SharedBytes), s.SharedBlocks, s.Blocks)
}

// sharing compares the layers of v with everything else that the stores keep.
// It reads the nodes of all images, not their contents.
func (e stores) sharing(ctx context.Context, l *ipfs.Layout, v *inspected) (map[digest.Digest]*sharing, error) {
	others := map[string]bool{}
	roots, err := e.roots(ctx)
	if isFatal(err) {
		return nil, err
	}
	for _, r := range roots {
		if string(r.CID.Hash()) == string(l.Root.Hash()) {
			continue
		}
		err := ipfs.Blocks(ctx, r.store, r.CID, 0, func(c cid.Cid, _ int64) bool {
			seen := others[c.KeyString()]
			others[c.KeyString()] = true
			return !seen
		})
		if err != nil {
			return nil, fmt.Errorf("comparing with %s: %w", r.CID, err)
		}
	}
	layers := map[digest.Digest]*sharing{}
	for _, i := range v.Images {
		for _, m := range i.Manifests {
			for _, desc := range m.Layers {
				if layers[desc.Digest] != nil {
					continue
				}
				if layers[desc.Digest], err = e.compare(ctx, l, desc.Digest, others); err != nil {
					return nil, fmt.Errorf("layer %s: %w", desc.Digest, err)
				}
			}
		}
	}
	return layers, nil
}

func (e stores) compare(ctx context.Context, l *ipfs.Layout, d digest.Digest, others map[string]bool) (*sharing, error) {
	link, err := l.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	s := &sharing{}
	err = ipfs.Blocks(ctx, e.getter(), link.CID, link.Size, func(c cid.Cid, size int64) bool {
		s.Blocks++
		s.Bytes += size
		if others[c.KeyString()] {
			s.SharedBlocks++
			s.SharedBytes += size
		}
		return true
	})
	return s, err
}
