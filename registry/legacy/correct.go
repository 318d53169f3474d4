package legacy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Docker's media type of uncompressed layers. The specification of manifest v2,
// schema 2 does not list it, yet docker's, containerd's, skopeo's and crane's
// sources do.
const dockerLayerTar = "application/vnd.docker.image.rootfs.diff.tar"

const (
	maxLayers = 4096
	atOnce    = 8 // layers that are looked at
)

// correct gives a manifest as it is to be served and, with their sizes, the
// layers of it that are to be inflated. A layer is one of those when its digest
// is one of the config's diff_ids and yet its file is gzip: both cannot be true
// of the same bytes.
func (t *Tree) correct(ctx context.Context, p place, manifest []byte, size Sizer) ([]byte, map[digest.Digest]int64, error) {
	var m ocispec.Manifest
	if json.Unmarshal(manifest, &m) != nil || m.SchemaVersion != 2 || len(m.Layers) == 0 {
		return manifest, nil, nil
	}
	if len(m.Layers) > maxLayers {
		return nil, nil, fmt.Errorf("%w: %d layers, at most %d are allowed", ipfs.ErrCorrupt, len(m.Layers), maxLayers)
	}
	diffIDs, err := t.diffIDs(ctx, p, m.Config.Digest)
	if err != nil {
		return nil, nil, err
	}
	sizes := make([]int64, len(m.Layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, l := range m.Layers {
		if !slices.Contains(diffIDs, l.Digest) {
			continue
		}
		group.Go(func() (err error) {
			if sizes[i], err = t.inflatedSize(ctx, p, l.Digest, size); err != nil {
				return fmt.Errorf("layer %s: %w", l.Digest, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	inflated := map[digest.Digest]int64{}
	for i, n := range sizes {
		if n > 0 {
			inflated[m.Layers[i].Digest] = n
		}
	}
	if len(inflated) == 0 {
		return manifest, nil, nil
	}
	manifest, err = withInflated(manifest, inflated)
	return manifest, inflated, err
}

// diffIDs reads rootfs.diff_ids of a config; none when the tree lacks it.
func (t *Tree) diffIDs(ctx context.Context, p place, config digest.Digest) ([]digest.Digest, error) {
	if config.Validate() != nil {
		return nil, nil
	}
	c, err := p.blob(ctx, config)
	if errors.Is(err, ipfs.ErrNoEntry) {
		return nil, nil
	}
	var data []byte
	if err == nil {
		data, err = ipfs.ReadFile(ctx, t.g, c, oci.MaxManifestSize)
	}
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", config, err)
	}
	var image struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if json.Unmarshal(data, &image) != nil {
		return nil, nil
	}
	return image.RootFS.DiffIDs, nil
}

// inflatedSize is the size of a layer that is to be inflated; 0 for one that is
// not, or not there.
func (t *Tree) inflatedSize(ctx context.Context, p place, d digest.Digest, size Sizer) (int64, error) {
	c, err := p.blob(ctx, d)
	if errors.Is(err, ipfs.ErrNoEntry) || d.Validate() != nil {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	packed, err := isGzip(ctx, t.g, c)
	if !packed || err != nil {
		return 0, err
	}
	return size(ctx, c)
}

// withInflated gives a manifest in which layers have other sizes and are
// uncompressed. Its bytes, and so its digest, depend on its content alone:
// every server gives the same.
func withInflated(manifest []byte, inflated map[digest.Digest]int64) ([]byte, error) {
	var fields map[string]json.RawMessage
	var layers []map[string]any
	err := jsontext.Unmarshal(manifest, &fields)
	if err == nil {
		err = jsontext.Unmarshal(fields["layers"], &layers)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: manifest: %v", ipfs.ErrCorrupt, err)
	}
	for _, l := range layers {
		d, _ := l["digest"].(string)
		n, ok := inflated[digest.Digest(d)]
		if !ok {
			continue
		}
		old, _ := l["mediaType"].(string)
		l["mediaType"], l["size"] = dockerLayerTar, n
		if strings.HasPrefix(old, "application/vnd.oci.") {
			l["mediaType"] = ocispec.MediaTypeImageLayer
		}
	}
	if fields["layers"], err = json.Marshal(layers); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}
