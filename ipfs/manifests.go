package ipfs

import (
	"context"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/oci"
)

// Manifests gives the CIDs of the files under a root that hold the manifests and
// indices which its index.json leads to, each once. Errors are those of
// [OpenLayout] and [oci.Walk].
func Manifests(ctx context.Context, g Getter, root cid.Cid) ([]cid.Cid, error) {
	l, err := OpenLayout(ctx, g, root)
	if err != nil {
		return nil, err
	}
	reachable, err := oci.Walk(ctx, l, l.Index)
	if err != nil {
		return nil, err
	}
	var found []cid.Cid
	for _, blob := range reachable.Blobs {
		if !oci.IsManifest(blob.MediaType) && !oci.IsIndex(blob.MediaType) {
			continue
		}
		c, err := l.Locate(ctx, blob.Digest)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(found, c) {
			found = append(found, c)
		}
	}
	return found, nil
}
