package oci

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// CheckConfig compares the config of an image with its manifest (image-spec, "rootfs"): one
// whose type is that of images is a JSON object whose diff_ids are digests; of whatever
// type, it has as many of them as there are layers, or none; and a layer whose uncompressed
// digest is known, which diffID tells, "" where it is not, has the one that stands there.
// Errors match [ErrCorrupt].
func CheckConfig(m ocispec.Manifest, config []byte, diffID func(layer ocispec.Descriptor) digest.Digest) error {
	isImage := IsImageConfig(m.Config.MediaType)
	var c struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := jsontext.Unmarshal(config, &c); err != nil {
		if isImage {
			return fmt.Errorf("%w: config %s of type %q and %d bytes: %v", ErrCorrupt, m.Config.Digest, m.Config.MediaType, len(config), err)
		}
		return nil
	}
	said := c.RootFS.DiffIDs
	if n := len(said); n > 0 && n != len(m.Layers) {
		return fmt.Errorf("%w: it has %d layers, its config %s has diff_ids of %d", ErrCorrupt, len(m.Layers), m.Config.Digest, n)
	}
	for i, want := range said {
		if !isImage {
			break
		}
		if err := want.Validate(); err != nil {
			return fmt.Errorf("%w: config %s has diff_id %q for layer %d, which is no digest: %v", ErrCorrupt, m.Config.Digest, want, i, err)
		}
		is := diffID(m.Layers[i])
		if is != "" && is.Algorithm() == want.Algorithm() && is != want {
			return fmt.Errorf("%w: layer %d: config %s expects diff_id %s, the layer's content has %s", ErrCorrupt, i, m.Config.Digest, want, is)
		}
	}
	return nil
}

// IsPlainLayer tells whether a media type is that of an uncompressed layer, whose diff_id
// is its digest.
func IsPlainLayer(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageLayer, "application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.docker.image.rootfs.diff.tar":
		return true
	}
	return false
}
