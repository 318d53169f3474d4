package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
)

func lazily(t *testing.T, s ipfs.Store, f files, recompress bool) *Result {
	t.Helper()
	a, err := archive.Open(f.write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	r, err := Publish(context.Background(), a, s, Options{Compression: layer.Options{Lazy: true}, Recompress: recompress})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// layersOf gives the descriptors of an image's layers.
func layersOf(t *testing.T, s ipfs.Store, r *Result) (*ipfs.Layout, []ocispec.Descriptor) {
	t.Helper()
	l, err := ipfs.OpenLayout(context.Background(), s, r.Root)
	if err != nil {
		t.Fatal(err)
	}
	return l, manifestOf(t, l, r.Images[0].Manifest).Layers
}

func manifestOf(t *testing.T, l *ipfs.Layout, desc ocispec.Descriptor) (m ocispec.Manifest) {
	t.Helper()
	data, err := l.Manifest(context.Background(), desc)
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := errors.Join(json.Unmarshal(data, &m), json.Unmarshal(data, &index)); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) > 0 {
		return manifestOf(t, l, index.Manifests[0])
	}
	return m
}

func blobOf(t *testing.T, l *ipfs.Layout, desc ocispec.Descriptor) []byte {
	t.Helper()
	r, err := l.Fetch(context.Background(), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	blob, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

// A lazy reader takes a layer only when its descriptor names the index inside,
// however the layer came and whether or not it was compressed this time.
func TestDescriptorsNameTheIndex(t *testing.T) {
	zipped := docker20()
	for _, name := range []string{"aa/layer.tar", "bb/layer.tar"} {
		for _, e := range docker20() {
			if e.name == name {
				zipped = zipped.replace(name, gzipped(e.data))
			}
		}
	}
	for name, test := range map[string]struct {
		f          files
		recompress bool
	}{"docker20": {docker20(), false}, "docker28": {docker28(), false}, "compressed": {zipped, true}, "layout": {attested(layerTar(1)), true}} {
		s := newStore(t)
		first := lazily(t, s, test.f, test.recompress)
		w := &watched{Store: s}
		if again := lazily(t, w, test.f, test.recompress); !again.Root.Equals(first.Root) {
			t.Errorf("%s: published again %s, want %s", name, again.Root, first.Root)
		}
		if !test.recompress && w.hits == 0 {
			t.Errorf("%s: nothing was recognised", name)
		}
		if len(first.Unindexed) > 0 {
			t.Errorf("%s: without index: %v", name, first.Unindexed)
		}
		layout, layers := layersOf(t, s, first)
		for _, l := range layers {
			blob := blobOf(t, layout, l)
			r, err := estargz.Open(io.NewSectionReader(bytes.NewReader(blob), 0, int64(len(blob))))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := r.TOCDigest().String(); got != l.Annotations[layer.AnnotationTOC] {
				t.Errorf("%s: the index is %s, the descriptor says %v", name, got, l.Annotations)
			}
		}
	}
}

// Whoever asked for an index is told which layer has none, each time.
func TestLayersWithoutIndexAreTold(t *testing.T) {
	twice := files{}.add("etc/a", []byte("1")).add("etc/a", []byte("2")).tar()
	f := files{}.add("layer.tar", twice).add("cfg.json", configOf(twice)).
		json("manifest.json", []manifestItem{{Config: "cfg.json", RepoTags: []string{"app:1"}, Layers: []string{"layer.tar"}}})
	s := newStore(t)
	for range 2 {
		r := lazily(t, s, f, false)
		if len(r.Unindexed) != 1 || !strings.Contains(r.Unindexed[0], `entry "etc/a": the name is there twice`) {
			t.Errorf("told %q", r.Unindexed)
		}
		if _, layers := layersOf(t, s, r); layers[0].Annotations != nil {
			t.Errorf("annotations %v of a layer without index", layers[0].Annotations)
		}
	}
}

// An index that is not what its layer's descriptor says is found by verify, which
// takes all that publish writes.
func TestVerifyComparesIndices(t *testing.T) {
	s := newStore(t)
	r := lazily(t, s, docker20(), false)
	if _, err := ipfs.Verify(context.Background(), s, r.Root, func(int) {}); err != nil {
		t.Fatal(err)
	}
	l, layers := layersOf(t, s, r)
	blob := blobOf(t, l, layers[0])
	other := digest.FromString("other").String()
	for _, media := range []string{ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayer, "application/vnd.docker.image.rootfs.diff.tar", "application/x-other"} { // readers look at the annotation alone
		for _, name := range []string{layer.AnnotationTOC, layer.AnnotationChunkedTOC, "io.containers.zstd-chunked.manifest-checksum"} {
			desc := layers[0]
			desc.MediaType, desc.Annotations = media, map[string]string{name: other}
			lie := mustPublish(t, s, layoutOf(t, blob, desc).write(t))
			if _, err := ipfs.Verify(context.Background(), s, lie.Root, func(int) {}); !errors.Is(err, ipfs.ErrCorrupt) || !strings.Contains(err.Error(), desc.Digest.String()) {
				t.Errorf("verify of a layer of type %s with another index by %s: %v", media, name, err)
			}
		}
	}
}

// layoutOf is a layout of an image of one layer.
func layoutOf(t *testing.T, blob []byte, desc ocispec.Descriptor) files {
	t.Helper()
	config := configOf(layerTar(1))
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: descriptor(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{desc},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := files{}
	for _, data := range [][]byte{blob, config, manifest} {
		f = f.add(oci.BlobPath(digest.FromBytes(data)), data)
	}
	return f.add("oci-layout", oci.LayoutFile).json("index.json", oci.NewIndex([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, manifest)}))
}
