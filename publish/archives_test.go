package publish

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// entry is a file or a link of an archive.
type entry struct {
	name string
	data []byte
	link string
	kind byte // tar type, when neither file nor symlink
}

type files []entry

func (f files) add(name string, data []byte) files { return append(f, entry{name: name, data: data}) }

func (f files) json(name string, v any) files {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return f.add(name, data)
}

// replace changes the content of an entry.
func (f files) replace(name string, data []byte) files {
	out := slices.Clone(f)
	for i := range out {
		if out[i].name == name {
			out[i] = entry{name: name, data: data}
			return out
		}
	}
	panic("no entry " + name)
}

func (f files) without(name string) files {
	return slices.DeleteFunc(slices.Clone(f), func(e entry) bool { return e.name == name })
}

func (f files) tar() []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range f {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.data)), Typeflag: tar.TypeReg}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if e.kind != 0 {
			h.Typeflag = e.kind
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := w.Write(e.data); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// write puts the archive into a file of its own.
func (f files) write(t testing.TB) string { return writeFile(t, f.tar()) }

func writeFile(t testing.TB, data []byte) string {
	path := filepath.Join(t.TempDir(), "archive.tar")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// layerTar is a small layer, other for each number.
func layerTar(n int) []byte {
	return files{{name: "etc/", kind: tar.TypeDir}}.add(fmt.Sprintf("etc/file%d", n), bytes.Repeat(fmt.Appendf(nil, "layer %d\n", n), 5000)).tar()
}

func configOf(layers ...[]byte) []byte {
	c := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers"}}
	for _, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(l))
	}
	data, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return data
}

type manifestItem struct {
	Config       string
	RepoTags     []string
	Layers       []string
	LayerSources map[string]any `json:",omitempty"`
}

// docker20 is what Docker 1.10 to 24 save: a layer that is a symlink to
// another, and metadata behind the layers.
func docker20() files {
	one, two := layerTar(1), layerTar(2)
	config := configOf(one, two, one)
	return files{}.
		add("aa/VERSION", []byte("1.0")).add("aa/json", []byte(`{"id":"aa"}`)).add("aa/layer.tar", one).
		add("bb/layer.tar", two).
		add("cfg.json", config).
		append(entry{name: "cc/layer.tar", link: "../aa/layer.tar"}).
		json("manifest.json", []manifestItem{{Config: "cfg.json", RepoTags: []string{"app:1"}, Layers: []string{"aa/layer.tar", "bb/layer.tar", "cc/layer.tar"}}}).
		json("repositories", map[string]any{"app": map[string]string{"1": "cc"}})
}

func (f files) append(e entry) files { return append(f, e) }

// docker28 is what the classic store of Docker 25 and later saves: the same
// image inside a layout made at save time, with an orphan config.
func docker28() files {
	one, two := layerTar(1), layerTar(2)
	config := configOf(one, two, one)
	path := func(data []byte) string { return oci.BlobPath(digest.FromBytes(data)) }
	manifest, err := json.Marshal(ocispec.Manifest{Config: descriptor("", config), Layers: []ocispec.Descriptor{descriptor("", one)}})
	if err != nil {
		panic(err)
	}
	return files{}.
		add(path(one), one).add(path(config), config).add(path(manifest), manifest).add(path(two), two).
		add(oci.BlobPath(digest.FromString("{}")), []byte("{}")).
		json("index.json", oci.NewIndex([]ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, manifest)})).
		json("manifest.json", []manifestItem{{
			Config: path(config), RepoTags: []string{"app:1"}, Layers: []string{path(one), path(two), path(one)},
			LayerSources: map[string]any{digest.FromBytes(one).String(): map[string]any{"size": len(one)}},
		}}).
		add("oci-layout", oci.LayoutFile)
}

func descriptor(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// layout is an OCI layout with an uncompressed layer and a sparse index.
func layout() files {
	one := layerTar(1)
	config := configOf(one)
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: descriptor(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayer, one)},
	})
	if err != nil {
		panic(err)
	}
	here, absent := descriptor(ocispec.MediaTypeImageManifest, manifest), descriptor(ocispec.MediaTypeImageManifest, []byte("elsewhere"))
	here.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	absent.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	index, err := json.Marshal(oci.NewIndex([]ocispec.Descriptor{here, absent}))
	if err != nil {
		panic(err)
	}
	path := func(data []byte) string { return oci.BlobPath(digest.FromBytes(data)) }
	return files{}.
		add(path(one), one).add(path(config), config).add(path(manifest), manifest).add(path(index), index).
		add("oci-layout", oci.LayoutFile).
		json("index.json", oci.NewIndex([]ocispec.Descriptor{oci.Named(descriptor(ocispec.MediaTypeImageIndex, index), "quay.io/team/app:2")}))
}
