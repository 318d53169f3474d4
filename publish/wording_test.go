package publish

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/wording"
)

// Whatever value of whichever JSON file of an archive is wrong, what is said of it is in
// the words of JSON, and none of encoding/json's.
func TestJSONOfAnArchiveIsToldInItsOwnWords(t *testing.T) {
	one := layerTar(1)
	config := configOf(one)
	manifest := must(json.Marshal(ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    descriptor(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayer, one)},
		Annotations: map[string]string{"a": "b"},
	}))
	index := must(json.Marshal(oci.NewIndex([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, manifest)})))
	withData := oci.Named(descriptor(ocispec.MediaTypeImageManifest, manifest), "app:1")
	withData.Data, withData.Platform = manifest, &ocispec.Platform{OS: "linux", Architecture: "amd64", OSFeatures: []string{"x"}}
	top := must(json.Marshal(oci.NewIndex([]ocispec.Descriptor{withData})))
	full := must(json.Marshal(map[string]any{"created": "2020-01-01T00:00:00Z", "os": "linux", "architecture": "amd64", "config": map[string]any{"Env": []string{"a=b"}, "ExposedPorts": map[string]any{"1": map[string]any{}}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []digest.Digest{digest.FromBytes(one)}}, "history": []any{map[string]any{"created": "2020-01-01T00:00:00Z", "empty_layer": true}}}))
	path := func(data []byte) string { return oci.BlobPath(digest.FromBytes(data)) }
	blobs := files{}.add(path(one), one).add(path(config), config).add(path(manifest), manifest).add("oci-layout", oci.LayoutFile)
	leadsTo := func(media string, data []byte) files { // a layout whose index.json lists it alone
		return blobs.add(path(data), data).json("index.json", oci.NewIndex([]ocispec.Descriptor{descriptor(media, data)}))
	}
	withConfig := func(data []byte) files {
		m := must(json.Marshal(ocispec.Manifest{Config: descriptor(ocispec.MediaTypeImageConfig, data), Layers: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayer, one)}}))
		return leadsTo(ocispec.MediaTypeImageManifest, m).add(path(data), data)
	}
	saved := must(json.Marshal([]manifestItem{{Config: "cfg.json", RepoTags: []string{"app:1"}, Layers: []string{"a/layer.tar"}, LayerSources: map[string]any{"x": 1}}}))
	docker := files{}.add("a/layer.tar", one)
	chain := dockerSeeds()["chain with repositories"]
	v1 := must(json.Marshal(map[string]any{"id": "a", "parent": "b", "created": "2020-01-01T00:00:00Z", "author": "x", "container_config": map[string]any{"Cmd": []string{"sh"}}}))
	for what, test := range map[string]struct {
		text []byte
		in   func([]byte) files
	}{
		"index.json":      {top, func(text []byte) files { return blobs.add("index.json", text) }},
		"oci-layout":      {oci.LayoutFile, func(text []byte) files { return leadsTo("", manifest).replace("oci-layout", text) }},
		"manifest":        {manifest, func(text []byte) files { return leadsTo(ocispec.MediaTypeImageManifest, text) }},
		"index":           {index, func(text []byte) files { return leadsTo(ocispec.MediaTypeImageIndex, text) }},
		"config":          {full, withConfig},
		"manifest.json":   {saved, func(text []byte) files { return docker.add("cfg.json", config).add("manifest.json", text) }},
		"docker's config": {full, func(text []byte) files { return docker.add("cfg.json", text).add("manifest.json", saved) }},
		"repositories":    {[]byte(`{"a":{"1":"a"}}`), func(text []byte) files { return chain.replace("repositories", text) }},
		"a layer's json":  {v1, func(text []byte) files { return chain.replace("a/json", text) }},
	} {
		changes, failed := wording.Changed(test.text), 0
		for i, text := range changes {
			if testing.Short() && i%5 != len(what)%5 {
				continue
			}
			a := archive.Stream("pipe", io.NopCloser(bytes.NewReader(test.in(text).tar())))
			_, err := ToDirectory(t.Context(), a, filepath.Join(t.TempDir(), "out"), Options{Recompress: i%2 == 1})
			if err == nil {
				continue
			}
			failed++
			if words, is := wording.IsGo(err.Error()); is {
				t.Errorf("%s, %s: %v has %q", what, text, err, words)
			}
		}
		if failed == 0 {
			t.Errorf("%s: all %d changes are published", what, len(changes))
		}
	}
}
