package dockerarchive

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// entries are the files of an archive in memory; every one may be a layer.
type entries map[string][]byte

func (e entries) JSON(name string) ([]byte, error) {
	data, ok := e[name]
	if !ok {
		return nil, fmt.Errorf("entry %s: %w", name, ErrMissing)
	}
	return data, nil
}

func (e entries) Layer(name string) (Layer, error) {
	data, err := e.JSON(name)
	d := digest.FromBytes(data)
	return Layer{ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(data))}, d}, err
}

func (e entries) Names() []string {
	var names []string
	for name := range e {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// FuzzConvert reads any metadata of both eras: an image that comes out is
// whole, and an error is one of those that are promised.
func FuzzConvert(f *testing.F) {
	one := digest.FromString("one").String()
	f.Add([]byte(`[{"Config":"config","RepoTags":["a:1"],"Layers":["a/layer.tar"]}]`), []byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["`+one+`"]}}`), []byte(`{"a":{"1":"a"}}`), []byte(`{"id":"a"}`))
	f.Add([]byte(`[{"Config":"config","RepoTags":null,"Layers":["a/layer.tar"],"LayerSources":{}}]`), []byte(`{"rootfs":{}}`), []byte(`{}`), []byte(`{"id":"a","parent":"b","created":"x"}`))
	f.Add([]byte(`[null]`), []byte(`null`), []byte(`{"a":null}`), []byte(`null`))
	f.Add([]byte(`[{"Config":"config","Layers":["a/layer.tar"]}]`), []byte(` null `), []byte(`{}`), []byte(`{}`))
	f.Add([]byte(nil), []byte(`{}`), []byte(`null`), []byte(`null`))
	f.Add([]byte(nil), []byte(`{}`), []byte(`{"a":{"1":"a","2":"../a"}}`), []byte(`{"id":"a","parent":"a"}`))
	f.Fuzz(func(t *testing.T, manifest, config, repositories, old []byte) {
		e := entries{"config": config, "repositories": repositories, "a/json": old, "b/json": old, "a/layer.tar": []byte("one"), "b/layer.tar": []byte("two"), "a/VERSION": []byte("1.0")}
		if manifest != nil {
			e[ManifestFile] = manifest
		}
		ParseManifest(manifest)
		Expected(manifest, func(string) []byte { return config })
		images, err := Convert(t.Context(), e)
		if err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrMissing) {
			t.Errorf("%v is none of the promised errors", err)
		}
		for _, image := range images {
			var m ocispec.Manifest
			if err := json.Unmarshal(image.Manifest, &m); err != nil {
				t.Fatal(err)
			}
			var c ocispec.Image
			if err := json.Unmarshal(image.Config, &c); err != nil {
				t.Fatalf("config %q: %v", image.Config, err)
			}
			if m.Config.Digest != digest.FromBytes(image.Config) || image.Descriptor.Digest != digest.FromBytes(image.Manifest) {
				t.Error("digests of other bytes")
			}
			if len(c.RootFS.DiffIDs) != len(m.Layers) {
				t.Errorf("%d diff_ids, %d layers", len(c.RootFS.DiffIDs), len(m.Layers))
			}
		}
	})
}
