package publish

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

// attested is what buildkit writes: an index of an image, whose layer is
// compressed as a whole, and the attestation that belongs to it.
func attested(diffID []byte) files {
	one, statement := gzipped(layerTar(1)), []byte(`{"_type":"https://in-toto.io/Statement/v0.1"}`)
	config, none := configOf(diffID), []byte(`{"architecture":"unknown","os":"unknown"}`)
	f := files{}
	put := func(media string, data []byte) ocispec.Descriptor {
		f = f.add(oci.BlobPath(digest.FromBytes(data)), data)
		return descriptor(media, data)
	}
	manifest := func(config, l ocispec.Descriptor) ocispec.Descriptor {
		data, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{l}})
		if err != nil {
			panic(err)
		}
		return put(ocispec.MediaTypeImageManifest, data)
	}
	image := manifest(put(ocispec.MediaTypeImageConfig, config), put(ocispec.MediaTypeImageLayerGzip, one))
	image.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	proof := manifest(put(ocispec.MediaTypeImageConfig, none), put("application/vnd.in-toto+json", statement))
	proof.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.Digest.String()}
	index, err := json.Marshal(oci.NewIndex([]ocispec.Descriptor{image, proof}))
	if err != nil {
		panic(err)
	}
	top := put(ocispec.MediaTypeImageIndex, index)
	return f.add("oci-layout", oci.LayoutFile).json("index.json", oci.NewIndex([]ocispec.Descriptor{oci.Named(top, "app:1")}))
}

func recompressed(t *testing.T, e ipfs.Store, path string) (*Result, error) {
	t.Helper()
	a, err := archive.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	return Publish(context.Background(), a, e, Options{Recompress: true})
}

// A converted image is whole, has the same content and config as before, and
// its layers are those of docker save's uncompressed ones.
func TestRecompress(t *testing.T) {
	s := newStore(t)
	r, err := recompressed(t, s, attested(layerTar(1)).write(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Dropped) != 1 || !strings.Contains(r.Dropped[0], "attestation") {
		t.Errorf("dropped %q, want the attestation", r.Dropped)
	}
	if want := []string{"linux/amd64"}; !slices.Equal(r.Images[0].Platforms, want) || r.Images[0].Name != "app:1" {
		t.Errorf("image %+v", r.Images[0])
	}
	l, err := ipfs.OpenLayout(context.Background(), s, r.Root)
	if err != nil {
		t.Fatal(err)
	}
	found, err := oci.Walk(context.Background(), l, l.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range found.Blobs {
		if b.Digest == digest.FromBytes(gzipped(layerTar(1))) {
			t.Error("the layer is still there as it came")
		}
		if b.MediaType == ocispec.MediaTypeImageLayerGzip && !bytes.Equal(gunzip(t, l, b), layerTar(1)) {
			t.Error("the layer has other content")
		}
	}
	if _, err := l.Blob(context.Background(), digest.FromBytes(configOf(layerTar(1)))); err != nil {
		t.Errorf("config: %v", err)
	}
	plain := mustPublish(t, s, docker20().write(t))
	if !slices.ContainsFunc(plain.Layers, func(b Blob) bool { return b.Digest == r.Layers[0].Digest }) {
		t.Errorf("layer %s, from docker save %v", r.Layers[0].Digest, plain.Layers)
	}
}

// Layers of a docker archive that came compressed (kaniko, crane) become those
// that docker save would have given.
func TestRecompressDockerArchive(t *testing.T) {
	f := docker20()
	for _, name := range []string{"aa/layer.tar", "bb/layer.tar"} {
		for _, e := range docker20() {
			if e.name == name {
				f = f.replace(name, gzipped(e.data))
			}
		}
	}
	s := newStore(t)
	want := mustPublish(t, s, docker20().write(t))
	for range 2 {
		if r, err := recompressed(t, s, f.write(t)); err != nil || !r.Root.Equals(want.Root) {
			t.Errorf("published %v, %v; want %s", r, err, want.Root)
		}
	}
}

// What cannot be converted is refused, not published broken.
func TestRecompressRefuses(t *testing.T) {
	for name, f := range map[string]files{
		"expects other diff_ids":         attested(layerTar(2)),
		"nothing is left":                artifact(),
		"index of which nothing is left": inIndex(artifact()),
	} {
		s := newStore(t)
		if r, err := recompressed(t, s, f.write(t)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// artifact is a layout without an image.
func artifact() files {
	chart := gzipped(layerTar(1))
	empty := []byte("{}")
	data, err := json.Marshal(ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: descriptor("application/vnd.cncf.helm.config.v1+json", empty),
		Layers: []ocispec.Descriptor{descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", chart)},
	})
	if err != nil {
		panic(err)
	}
	f := files{}
	for _, d := range [][]byte{chart, empty, data} {
		f = f.add(oci.BlobPath(digest.FromBytes(d)), d)
	}
	return f.add("oci-layout", oci.LayoutFile).json("index.json", oci.NewIndex([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, data)}))
}

// inIndex is a layout with an index of what the layout lists.
func inIndex(f files) files {
	at := slices.IndexFunc(f, func(e entry) bool { return e.name == "index.json" })
	list := f[at].data
	return f.without("index.json").add(oci.BlobPath(digest.FromBytes(list)), list).
		json("index.json", oci.NewIndex([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageIndex, list)}))
}

// A broken layer keeps nobody from publishing the images that do without it; who
// needs it learns which entry is broken.
func TestRecompressBesideBrokenLayer(t *testing.T) {
	for name, f := range map[string]files{"layout": own(nil), "docker archive": docker20()} {
		want, err := recompressed(t, newStore(t), f.write(t))
		if err != nil {
			t.Fatal(err)
		}
		broken := gzipped(layerTar(3))[:100]
		beside := files{}.add("blobs/sha256/"+digest.FromBytes(broken).Encoded(), broken)
		if name != "layout" {
			beside = files{}.add("old.tar.gz", broken)
		}
		if got, err := recompressed(t, newStore(t), append(beside, f...).write(t)); err != nil || !got.Root.Equals(want.Root) {
			t.Errorf("%s beside a broken layer: %v, %v, want %s", name, got, err, want.Root)
		}
	}
	f := own(nil)
	manifest := bytes.ReplaceAll(f[2].data, []byte(digest.FromBytes(f[0].data)), []byte(digest.FromBytes(f[0].data[:100])))
	f = files{}.add(oci.BlobPath(digest.FromBytes(f[0].data[:100])), f[0].data[:100]).add(f[1].name, f[1].data).
		add(oci.BlobPath(digest.FromBytes(manifest)), manifest).add("oci-layout", oci.LayoutFile).
		json("index.json", oci.NewIndex([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, manifest)}))
	_, err := recompressed(t, newStore(t), f.write(t))
	if !errors.Is(err, archive.ErrFormat) || !strings.Contains(err.Error(), f[0].name) {
		t.Errorf("a broken layer that is needed: %v", err)
	}
}
