package publish

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// withConfig is a layout of an image of one layer with any config.
func withConfig(configType string, config []byte, layerType string, layer []byte) files {
	manifest, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: descriptor(configType, config), Layers: []ocispec.Descriptor{descriptor(layerType, layer)}})
	if err != nil {
		panic(err)
	}
	f := files{}
	for _, data := range [][]byte{config, layer, manifest} {
		f = f.add(oci.BlobPath(digest.FromBytes(data)), data)
	}
	return f.json("index.json", oci.NewIndex([]ocispec.Descriptor{oci.Named(descriptor(ocispec.MediaTypeImageManifest, manifest), "app:1")}))
}

// What an engine would refuse after it has pulled all of an image is refused before it is
// published, as far as that takes no unpacking.
func TestConfigsFitTheirLayers(t *testing.T) {
	layer := layerTar(1)
	const image, tar = ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayer
	for name, test := range map[string]struct {
		config string
		says   []string
	}{
		"text": {"hello", []string{"no JSON object", "5 bytes"}}, "null": {"null", []string{"no JSON object"}}, "empty": {"", []string{"no JSON object"}},
		"an array": {"[]", []string{"expected an object, found an array"}},
		"bogus":    {`{"rootfs":{"diff_ids":["bogus"]}}`, []string{`diff_id "bogus"`, "layer 0"}},
		"of another layer": {`{"rootfs":{"diff_ids":["` + digest.FromString("another").String() + `"]}}`,
			[]string{digest.FromString("another").String(), digest.FromBytes(layer).String()}},
	} {
		for _, configType := range []string{image, oci.MediaTypeDockerConfig} {
			f := withConfig(configType, []byte(test.config), tar, layer)
			refusedBy(t, name, f.tar(), append(test.says, digest.FromString(test.config).String())...)
		}
	}
	s := newStore(t)
	for name, f := range map[string]files{
		"right":                  withConfig(image, configOf(layer), tar, layer),
		"a config of other type": withConfig("text/plain", []byte("hello"), tar, layer),
		"no diff_ids":            withConfig(image, []byte("{}"), tar, layer),
		"compressed":             withConfig(image, configOf(layerTar(2)), ocispec.MediaTypeImageLayerGzip, gzipped(layer)),
	} {
		if _, err := publishPath(t, s, writeFile(t, f.tar())); err != nil {
			t.Errorf("%s: %v", name, strings.TrimSpace(err.Error()))
		}
	}
}

// What would be printed and nobody could pull is no image; what tells no type is told by
// the one that servers give it.
func TestIndexOfNothing(t *testing.T) {
	empty := []byte(`{"schemaVersion":2,"manifests":[]}`)
	for _, mediaType := range []string{"", ocispec.MediaTypeImageIndex} {
		desc := oci.Named(descriptor(mediaType, empty), "app:1")
		f := files{}.add(oci.BlobPath(desc.Digest), empty).json("index.json", oci.NewIndex([]ocispec.Descriptor{desc}))
		refusedBy(t, "an index of nothing", f.tar(), "lists no image", desc.Digest.String())
	}
	layer := layerTar(1)
	f := withConfig(ocispec.MediaTypeImageConfig, configOf(layer), ocispec.MediaTypeImageLayer, layer)
	manifest, err := json.Marshal(ocispec.Manifest{Config: descriptor(ocispec.MediaTypeImageConfig, configOf(layer)), Layers: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayer, layer)}})
	if err != nil {
		t.Fatal(err)
	}
	desc := descriptor("", manifest)
	f = f.add(oci.BlobPath(desc.Digest), manifest).without("index.json").json("index.json", oci.NewIndex([]ocispec.Descriptor{oci.Named(desc, "app:1")}))
	s := newStore(t)
	r, err := publishPath(t, s, writeFile(t, f.tar()))
	if err != nil {
		t.Fatalf("an image without types: %v", err)
	}
	if got := r.Images[0].Manifest.MediaType; got != ocispec.MediaTypeImageManifest {
		t.Errorf("an image without types is of type %q", got)
	}
}
