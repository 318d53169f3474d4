package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Some tools list an image once for each of its tags.
func TestImageListedTwice(t *testing.T) {
	one := layerTar(1)
	f := files{}.add("aa/layer.tar", one).add("cfg.json", configOf(one)).json("manifest.json", []manifestItem{
		{Config: "cfg.json", RepoTags: []string{"app:1"}, Layers: []string{"aa/layer.tar"}},
		{Config: "cfg.json", RepoTags: []string{"app:2"}, Layers: []string{"aa/layer.tar"}},
	})
	fromPipe, err := publishPipe(t, newStore(t), f.tar())
	if err != nil {
		t.Fatal(err)
	}
	fromFile, err := publishPath(t, newStore(t), f.write(t))
	if err != nil {
		t.Fatal(err)
	}
	if !fromFile.Root.Equals(fromPipe.Root) || !slices.Equal(fromFile.Names(), []string{"app:1", "app:2"}) {
		t.Errorf("from a file %s with %q, from a pipe %s", fromFile.Root, fromFile.Names(), fromPipe.Root)
	}
}

// Pull names go to scripts and terminals: an archive must not say what is in
// them beyond what an engine takes as a name.
func TestMisnamed(t *testing.T) {
	one := layerTar(1)
	for _, name := range []string{"app:1\nlocalhost:5000/evil\x1b[2J", "app:1\nlocalhost:5000/evil", "My App:1", "app:", ":1", "app:1 "} {
		f := files{}.add("aa/layer.tar", one).add("cfg.json", configOf(one)).
			json("manifest.json", []manifestItem{{Config: "cfg.json", RepoTags: []string{name, "good:1"}, Layers: []string{"aa/layer.tar"}}})
		r, err := publishPath(t, newStore(t), f.write(t))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if !slices.Equal(r.Names(), []string{"good:1"}) || !slices.Equal(r.Misnamed, []string{name}) {
			t.Errorf("%q: published as %q, left out %q", name, r.Names(), r.Misnamed)
		}
	}
}

// What a pipe cannot tell in time, what a compressed layer in blobs/ is for, is
// refused from wherever it comes, and says what to do; that then works.
func TestCompressedLayerInBlobs(t *testing.T) {
	one := layerTar(1)
	name := oci.BlobPath(digest.FromBytes(gzipped(one)))
	f := files{}.add(name, gzipped(one)).add("cfg.json", configOf(one)).
		json("manifest.json", []manifestItem{{Config: "cfg.json", RepoTags: []string{"app:1"}, Layers: []string{name}}})
	refusedBy(t, "compressed layer", f.tar(), "is compressed", "--recompress")
	refusedBy(t, "compressed layer", gzipped(f.tar()), "is compressed", "--recompress")
	if _, err := publishPath(t, newStore(t), f.unpack(t)); err == nil || !strings.Contains(err.Error(), "--recompress") {
		t.Errorf("from a directory: %v", err)
	}
	for how, a := range map[string]*archive.Archive{
		"file": must(archive.Open(f.write(t))),
		"pipe": archive.Stream("pipe", io.NopCloser(bytes.NewReader(f.tar()))),
	} {
		r, err := Publish(t.Context(), a, newStore(t), Options{Recompress: true})
		if err != nil || !slices.Equal(r.Names(), []string{"app:1"}) {
			t.Errorf("%s, with Recompress: %v, %v", how, r, err)
		}
	}
}

// indexed is a layout of an image under indices, each of which lists the one
// below as often as times says.
func indexed(t *testing.T, levels, times int) files {
	t.Helper()
	f := files{}
	put := func(media string, v any) ocispec.Descriptor {
		data, ok := v.([]byte)
		if !ok {
			var err error
			if data, err = json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		f = f.add(oci.BlobPath(digest.FromBytes(data)), data)
		return descriptor(media, data)
	}
	desc := put(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    put(ocispec.MediaTypeImageConfig, configOf(layerTar(1))),
		Layers:    []ocispec.Descriptor{put(ocispec.MediaTypeImageLayerGzip, gzipped(layerTar(1)))},
	})
	for range levels {
		desc = put(ocispec.MediaTypeImageIndex, oci.NewIndex(slices.Repeat([]ocispec.Descriptor{desc}, times)))
	}
	return f.add("oci-layout", oci.LayoutFile).json("index.json", oci.NewIndex([]ocispec.Descriptor{oci.Named(desc, "app:1")}))
}

// Each index is converted once, however many ways lead to it.
func TestRecompressManyPaths(t *testing.T) {
	s := newStore(t)
	if _, err := recompressed(t, s, indexed(t, 6, 2).write(t)); err != nil {
		t.Error(err)
	}
	if _, err := recompressed(t, s, indexed(t, 7, 60).write(t)); err != nil {
		t.Errorf("each is listed 60 times: %v", err)
	}
	if _, err := recompressed(t, s, indexed(t, 2, oci.MaxManifests).write(t)); !errors.Is(err, oci.ErrCorrupt) {
		t.Errorf("more manifests than allowed: %v", err)
	}
	if _, err := recompressed(t, s, indexed(t, 30, 2).write(t)); !errors.Is(err, oci.ErrCorrupt) || !strings.Contains(err.Error(), "levels") {
		t.Errorf("more levels than allowed: %v", err)
	}
}

// A layer has one size, whoever names it.
func TestSecondSize(t *testing.T) {
	f := files{}
	put := func(media string, data []byte) ocispec.Descriptor {
		f = f.add(oci.BlobPath(digest.FromBytes(data)), data)
		return descriptor(media, data)
	}
	l, config := put(ocispec.MediaTypeImageLayerGzip, gzipped(layerTar(1))), put(ocispec.MediaTypeImageConfig, configOf(layerTar(1)))
	image := func(l ocispec.Descriptor) ocispec.Descriptor {
		data, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{l}})
		if err != nil {
			t.Fatal(err)
		}
		return put(ocispec.MediaTypeImageManifest, data)
	}
	right := image(l)
	l.Size++
	wrong := image(l)
	f = f.add("oci-layout", oci.LayoutFile).json("index.json", oci.NewIndex([]ocispec.Descriptor{right, wrong}))
	refusedBy(t, "second size", f.tar(), l.Digest.String())
}

// A named pipe in a directory has no end until somebody writes into it.
func TestNamedPipe(t *testing.T) {
	for _, name := range []string{"index.json", "extra"} {
		dir := t.TempDir()
		makePipe(t, dir, name)
		if _, err := publishPath(t, newStore(t), dir); !errors.Is(err, archive.ErrFormat) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A manifest that index.json has in a descriptor's data field alone is an image like any
// other, and is published as a blob.
func TestManifestInDescriptor(t *testing.T) {
	f := files{}
	var top []ocispec.Descriptor
	for i := range 2 {
		config, layer := configOf(layerTar(1)), gzipped(layerTar(1))
		f = f.add(oci.BlobPath(digest.FromBytes(config)), config).add(oci.BlobPath(digest.FromBytes(layer)), layer)
		data, err := json.Marshal(ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, Annotations: map[string]string{"n": strconv.Itoa(i)},
			Config: descriptor(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayerGzip, layer)},
		})
		if err != nil {
			t.Fatal(err)
		}
		desc := descriptor(ocispec.MediaTypeImageManifest, data)
		if i == 0 {
			desc.Data = data
		} else {
			f = f.add(oci.BlobPath(desc.Digest), data)
		}
		top = append(top, desc)
	}
	f = f.add("oci-layout", oci.LayoutFile).json("index.json", oci.NewIndex(top))
	a, err := archive.Open(f.write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s := newStore(t)
	r, err := Publish(t.Context(), a, s, Options{})
	if err != nil || len(r.Images) != 2 {
		t.Fatalf("%+v, %v; want two images", r, err)
	}
	if _, err := ipfs.Verify(t.Context(), s, r.Root, func(int) {}); err != nil {
		t.Error(err)
	}
}
