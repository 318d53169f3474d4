package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/forms"
)

// blobsOf are layouts with blobs of each kind: layers as they are and compressed, what is
// no layer, and one of SHA-512 digests.
func blobsOf() map[string]files {
	one := layerTar(1)
	made := func(a digest.Algorithm, layer []byte, media string) files {
		f := files{}
		put := func(media string, data []byte) ocispec.Descriptor {
			d := ocispec.Descriptor{MediaType: media, Digest: a.FromBytes(data), Size: int64(len(data))}
			f = f.add(oci.BlobPath(d.Digest), data)
			return d
		}
		manifest, err := json.Marshal(ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest,
			Config:    put(ocispec.MediaTypeImageConfig, configOf(one)), Layers: []ocispec.Descriptor{put(media, layer)},
		})
		if err != nil {
			panic(err)
		}
		return f.json("index.json", oci.NewIndex([]ocispec.Descriptor{oci.Named(put(ocispec.MediaTypeImageManifest, manifest), "app:1")})).add("oci-layout", oci.LayoutFile)
	}
	return map[string]files{
		"plain":   made(digest.SHA256, one, ocispec.MediaTypeImageLayer),
		"gzip":    made(digest.SHA256, gzipped(one), ocispec.MediaTypeImageLayerGzip),
		"data":    made(digest.SHA256, []byte(strings.Repeat("no layer, no JSON ", 999)), "application/octet-stream"),
		"sha-512": made(digest.SHA512, one, ocispec.MediaTypeImageLayer),
	}
}

// relinked moves blobs to other names, to which links lead over others, and shuffles all.
func relinked(r *rand.Rand, f files) files {
	out := files{}
	blobs := "blobs/"
	if r.IntN(2) == 0 { // the directory itself is elsewhere
		blobs = "store/"
		at := "store"
		for hop := range r.IntN(4) {
			next := fmt.Sprint("dir", hop)
			out, at = out.append(entry{name: next, link: at}), next
		}
		out = out.append(entry{name: "blobs", link: at})
	}
	for i, e := range f {
		below, isBlob := strings.CutPrefix(e.name, "blobs/")
		if !isBlob || r.IntN(3) == 0 {
			if isBlob {
				e.name = blobs + below
			}
			out = out.append(e)
			continue
		}
		at := fmt.Sprintf("%c%d", 'a'+r.IntN(26), i)
		out = out.add(at, e.data)
		for hop := range r.IntN(5) {
			next := fmt.Sprintf("%c%d-%d", 'a'+r.IntN(26), i, hop)
			out, at = out.append(entry{name: next, link: at}), next
		}
		out = out.append(entry{name: blobs + below, link: "../../" + at})
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// Blobs may lie anywhere, with links to them over any number of links, in any order: the
// image is the same, from a file, a pipe and a directory.
func TestLinksInAnyOrder(t *testing.T) {
	for name, f := range blobsOf() {
		all, err := forms.Plain(f.write(t), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		want := outcome(t, all[0], Options{})
		if strings.Contains(want, " ") {
			t.Fatalf("%s: %s", name, want)
		}
		for seed := range uint64(25) {
			all, err := forms.Plain(relinked(rand.New(rand.NewPCG(seed, 5)), f).write(t), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range all {
				if got := outcome(t, form, Options{}); got != want {
					t.Errorf("%s, seed %d, %s: %s, want %s", name, seed, form.Name, got, want)
				}
			}
		}
	}
}

// platformImage is an image of one platform with an uncompressed layer: blobs, its manifest's
// descriptor, and what docker save's manifest.json would say of it.
func platformImage(a digest.Algorithm, platform string, layers ...[]byte) (f files, desc ocispec.Descriptor, saved manifestItem) {
	put := func(media string, data []byte) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: media, Digest: a.FromBytes(data), Size: int64(len(data))}
		f = f.add(oci.BlobPath(d.Digest), data)
		return d
	}
	one := layerTar(1)
	config := put(ocispec.MediaTypeImageConfig, []byte(strings.Replace(string(configOf(one)), "amd64", platform, 1)))
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{}}
	saved = manifestItem{Config: oci.BlobPath(config.Digest), RepoTags: []string{"app:1"}, LayerSources: map[string]any{"x": 1}}
	for _, layer := range layers {
		m.Layers = append(m.Layers, put(ocispec.MediaTypeImageLayer, layer))
		saved.Layers = append(saved.Layers, oci.BlobPath(a.FromBytes(layer)))
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return f, put(ocispec.MediaTypeImageManifest, manifest), saved
}

// What index.json lists besides the images of manifest.json is not lost: where that has
// the images of the layout they are the layout's, and where it has others nothing is
// published.
func TestIndexAndManifestJSON(t *testing.T) {
	one := layerTar(1)
	amd, amdDesc, saved := platformImage(digest.SHA256, "amd64", one)
	arm, armDesc, _ := platformImage(digest.SHA256, "arm64", one)
	index, err := json.Marshal(oci.NewIndex([]ocispec.Descriptor{amdDesc, armDesc}))
	if err != nil {
		t.Fatal(err)
	}
	top := descriptor(ocispec.MediaTypeImageIndex, index)
	list := func(top ...ocispec.Descriptor) ocispec.Index { return oci.NewIndex(top) }
	long, longDesc, longSaved := platformImage(digest.SHA512, "amd64", one)
	longSaved.LayerSources = nil
	other := files{}.add("config", configOf(layerTar(2))).add("layer", layerTar(2)).
		json("manifest.json", []manifestItem{{Config: "config", RepoTags: []string{"other:1"}, Layers: []string{"layer"}}})
	for name, test := range map[string]struct {
		f    files
		want digest.Digest // of the first image; empty for a refusal
		says string
	}{
		"two platforms, one in manifest.json": {append(amd, arm...).add(oci.BlobPath(top.Digest), index).json("index.json", list(top)).json("manifest.json", []manifestItem{saved}), top.Digest, ""},
		"SHA-512":                             {long.json("index.json", list(longDesc)).json("manifest.json", []manifestItem{longSaved}), longDesc.Digest, ""},
		"another image in manifest.json":      {append(amd, other...).json("index.json", list(amdDesc)), "", "an OCI layout and a docker archive of other images"},
	} {
		all, err := forms.Plain(test.f.write(t), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range all {
			var r *Result
			err := form.Use(func(a *archive.Archive) (err error) {
				r, err = ToDirectory(t.Context(), a, filepath.Join(t.TempDir(), "out"), Options{})
				return err
			})
			switch {
			case test.want == "" && (!errors.Is(err, archive.ErrFormat) || !strings.Contains(err.Error(), test.says)):
				t.Errorf("%s, %s: %v", name, form.Name, err)
			case test.want != "" && (err != nil || r.Images[0].Manifest.Digest != test.want):
				t.Errorf("%s, %s: %+v, %v; want %s", name, form.Name, r, err, test.want)
			}
		}
	}
}

// An image without its layers is refused, whatever descriptors call manifest and config.
func TestLayersAreCountedByContent(t *testing.T) {
	f, desc, _ := platformImage(digest.SHA256, "amd64")
	untyped, index := desc, desc
	untyped.MediaType, index.MediaType = "", ocispec.MediaTypeImageIndex
	child, err := json.Marshal(oci.NewIndex([]ocispec.Descriptor{untyped}))
	if err != nil {
		t.Fatal(err)
	}
	above := descriptor(ocispec.MediaTypeImageIndex, child)
	for _, media := range []string{"application/octet-stream", "application/json", ""} {
		config := configOf(layerTar(1))
		manifest, err := json.Marshal(ocispec.Manifest{Config: descriptor(media, config), Layers: []ocispec.Descriptor{}})
		if err != nil {
			t.Fatal(err)
		}
		odd := files{}.add(oci.BlobPath(digest.FromBytes(config)), config).add(oci.BlobPath(digest.FromBytes(manifest)), manifest).
			json("index.json", oci.NewIndex([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, manifest)}))
		refusedBy(t, "config of type "+media, odd.tar(), "0 layers", "diff_ids of 1")
	}
	for name, top := range map[string]ocispec.Descriptor{"typed": desc, "untyped": untyped, "child": above} {
		refusedBy(t, name, f.add(oci.BlobPath(above.Digest), child).json("index.json", oci.NewIndex([]ocispec.Descriptor{top})).tar(), "0 layers", "diff_ids of 1")
	}
	refusedBy(t, "called an index", f.json("index.json", oci.NewIndex([]ocispec.Descriptor{index})).tar(), "contradict", desc.Digest.String(), index.MediaType, desc.MediaType)
}
