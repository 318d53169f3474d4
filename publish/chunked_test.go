package publish

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
)

func inChunks(t *testing.T, s ipfs.Store, f files, recompress bool) *Result {
	t.Helper()
	a, err := archive.Open(f.write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	r, err := Publish(context.Background(), a, s, Options{Compression: layer.Options{Compression: layer.Chunked}, Recompress: recompress})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Engines take the first manifest for their platform, podman the second: both
// have the same config and layers, and each tells of the layers' indices in one
// way, however the image came and whether or not it was compressed this time.
func TestPairsOfManifests(t *testing.T) {
	for name, test := range map[string]struct {
		f          files
		recompress bool
		platforms  []string
	}{
		"docker20": {docker20(), false, []string{"linux/amd64"}}, "docker28": {docker28(), false, []string{"linux/amd64"}},
		"layout": {attested(layerTar(1)), true, []string{"linux/amd64"}}, "platforms": {multiPlatform(), true, []string{"linux/amd64", "linux/arm64"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			first := inChunks(t, s, test.f, test.recompress)
			w := &watched{Store: s}
			if again := inChunks(t, w, test.f, test.recompress); !again.Root.Equals(first.Root) {
				t.Errorf("published again %s, want %s", again.Root, first.Root)
			}
			if !test.recompress && w.hits == 0 {
				t.Error("nothing was recognised")
			}
			if len(first.Unindexed) > 0 {
				t.Errorf("without index: %v", first.Unindexed)
			}
			if got := first.Images[0].Platforms; !slices.Equal(got, test.platforms) {
				t.Errorf("platforms %v, want %v", got, test.platforms)
			}
			l := openLayout(t, s, first)
			samePairs(t, l, first.Images[0].Manifest, len(test.platforms))
			if _, err := ipfs.Verify(context.Background(), s, first.Root, func(int) {}); err != nil {
				t.Error(err)
			}
		})
	}
}

func openLayout(t *testing.T, s ipfs.Store, r *Result) *ipfs.Layout {
	t.Helper()
	l, err := ipfs.OpenLayout(context.Background(), s, r.Root)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// samePairs checks the index of an image for so many platforms.
func samePairs(t *testing.T, l *ipfs.Layout, top ocispec.Descriptor, pairs int) {
	t.Helper()
	data, err := l.Manifest(context.Background(), top)
	if err != nil {
		t.Fatal(err)
	}
	index, err := oci.ParseIndex(data)
	if err != nil || len(index.Manifests) != 2*pairs {
		t.Fatalf("%d manifests, want %d pairs: %v", len(index.Manifests), pairs, err)
	}
	for i := 0; i < len(index.Manifests); i += 2 {
		one, two := index.Manifests[i], index.Manifests[i+1]
		if one.Platform == nil || two.Platform == nil || oci.FormatPlatform(one.Platform) != oci.FormatPlatform(two.Platform) {
			t.Errorf("platforms %v and %v", one.Platform, two.Platform)
		}
		if one.Annotations != nil || !maps.Equal(two.Annotations, map[string]string{annotationZstd: "true"}) {
			t.Errorf("annotations %v and %v", one.Annotations, two.Annotations)
		}
		if !platforms.Only(*one.Platform).Match(*one.Platform) || platforms.Only(*one.Platform).Match(*two.Platform) {
			t.Errorf("containerd's transfer service takes another than the first: %+v, %+v", one.Platform, two.Platform)
		}
		a, b := manifestOf(t, l, one), manifestOf(t, l, two)
		if a.Config.Digest != b.Config.Digest || len(a.Layers) != len(b.Layers) || len(a.Layers) == 0 {
			t.Fatalf("other images: %+v, %+v", a, b)
		}
		for i := range a.Layers {
			x, y := a.Layers[i], b.Layers[i]
			if x.Digest != y.Digest || x.MediaType != ocispec.MediaTypeImageLayerZstd || y.MediaType != x.MediaType {
				t.Errorf("layer %d: %s %s and %s %s", i, x.MediaType, x.Digest, y.MediaType, y.Digest)
			}
			if x.Annotations[layer.AnnotationTOC] == "" || x.Annotations[layer.AnnotationChunkedTOC] != "" ||
				y.Annotations[layer.AnnotationTOC] != "" || y.Annotations[layer.AnnotationChunkedTOC] == "" {
				t.Errorf("layer %d: annotations %v and %v", i, x.Annotations, y.Annotations)
			}
		}
	}
}

// multiPlatform is a layout of an image for two platforms.
func multiPlatform() files {
	f := files{}
	put := func(media string, data []byte) ocispec.Descriptor {
		f = f.add(oci.BlobPath(digest.FromBytes(data)), data)
		return descriptor(media, data)
	}
	var all []ocispec.Descriptor
	for i, arch := range []string{"amd64", "arm64"} {
		content := layerTar(i + 1)
		config := strings.Replace(string(configOf(content)), `"amd64"`, `"`+arch+`"`, 1)
		data, err := json.Marshal(ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, Config: put(ocispec.MediaTypeImageConfig, []byte(config)),
			Layers: []ocispec.Descriptor{put(ocispec.MediaTypeImageLayerGzip, gzipped(content))},
		})
		if err != nil {
			panic(err)
		}
		desc := put(ocispec.MediaTypeImageManifest, data)
		desc.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		all = append(all, desc)
	}
	index, err := json.Marshal(oci.NewIndex(all))
	if err != nil {
		panic(err)
	}
	return f.json("index.json", oci.NewIndex([]ocispec.Descriptor{oci.Named(put(ocispec.MediaTypeImageIndex, index), "app:1")})).add("oci-layout", oci.LayoutFile)
}

// Who publishes an image of pairs again with --recompress gets the same image, and
// who wants gzip gets each platform once.
func TestPairsAreConvertedAgain(t *testing.T) {
	s := newStore(t)
	in, err := archive.Open(multiPlatform().write(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/layout"
	first, err := ToDirectory(context.Background(), in, dir, Options{Compression: layer.Options{Compression: layer.Chunked}, Recompress: true})
	if err := errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	for compression, manifests := range map[layer.Compression]int{layer.Chunked: 4, layer.Gzip: 2} {
		a, err := archive.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Publish(context.Background(), a, s, Options{Compression: layer.Options{Compression: compression}, Recompress: true})
		if err := errors.Join(err, a.Close()); err != nil {
			t.Fatal(err)
		}
		if compression == layer.Chunked && r.Images[0].Manifest.Digest != first.Images[0].Manifest.Digest {
			t.Errorf("%s, want %s", r.Images[0].Manifest.Digest, first.Images[0].Manifest.Digest)
		}
		data, err := openLayout(t, s, r).Manifest(context.Background(), r.Images[0].Manifest)
		if err != nil {
			t.Fatal(err)
		}
		if index, err := oci.ParseIndex(data); err != nil || len(index.Manifests) != manifests {
			t.Errorf("%s: %d manifests, want %d: %v", compression, len(index.Manifests), manifests, err)
		}
	}
}

// A layer without index, alone in its image, leaves nothing to pair.
func TestNoPairWithoutIndex(t *testing.T) {
	twice := files{}.add("etc/a", []byte("1")).add("etc/a", []byte("2")).tar()
	f := files{}.add("layer.tar", twice).add("cfg.json", configOf(twice)).
		json("manifest.json", []manifestItem{{Config: "cfg.json", RepoTags: []string{"app:1"}, Layers: []string{"layer.tar"}}})
	s := newStore(t)
	for range 2 {
		r := inChunks(t, s, f, false)
		if len(r.Unindexed) != 1 || !oci.IsManifest(r.Images[0].Manifest.MediaType) {
			t.Errorf("told %q of %s", r.Unindexed, r.Images[0].Manifest.MediaType)
		}
	}
}
