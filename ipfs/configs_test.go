package ipfs_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// An image whose bytes are all there, and whose config is that of other layers, is not
// whole: engines pull it and refuse it then.
func TestVerifyComparesConfigs(t *testing.T) {
	const plain = ocispec.MediaTypeImageLayer
	of := func(d digest.Digest) string { return `{"rootfs":{"diff_ids":["` + d.String() + `"]}}` }
	layer, another := []byte("layer"), digest.FromString("another")
	for name, test := range map[string]struct {
		config, layerType string
		layer             []byte
		says              string // "" where it is whole
	}{
		"right":        {of(digest.FromBytes(layer)), plain, layer, ""},
		"none":         {"{}", plain, layer, ""},
		"compressed":   {of(another), ocispec.MediaTypeImageLayerGzip, layer, ""},
		"called plain": {of(another), plain, []byte{0x1f, 0x8b, 8, 0}, ""},
		"wrong":        {of(another), plain, layer, another.String()},
		"bogus":        {of("bogus"), plain, layer, `diff_id "bogus"`},
		"text":         {"hello", plain, layer, "no valid JSON"},
		"null":         {"null", plain, layer, "found null"},
		"too many":     {`{"rootfs":{"diff_ids":["a","b"]}}`, plain, layer, "diff_ids of 2"},
	} {
		b := testlayout.NewBlocks()
		l := testlayout.New(t, b)
		image := l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, Config: l.Blob(ocispec.MediaTypeImageConfig, []byte(test.config)), Layers: []ocispec.Descriptor{l.Blob(test.layerType, test.layer)},
		})
		_, err := ipfs.Verify(t.Context(), b, l.Publish(oci.Named(image, "app:1")), func(int) {})
		if test.says == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if test.says != "" && (!errors.Is(err, ipfs.ErrCorrupt) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), image.Digest.String())) {
			t.Errorf("%s: %v, want an error that says %q and the manifest", name, err, test.says)
		}
	}
}
