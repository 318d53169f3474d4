package main

// Small image archives of every kind that publish reads, made from one image,
// so that the scripts can tell whether what must be equal is equal.

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// entry is a file of an archive, or with a target a symbolic link.
type entry struct {
	name   string
	data   []byte
	target string
}

// kinds makes the entries of an archive whose images have these names.
var kinds = map[string]func(names []string) []entry{
	// Docker before 1.10: a chain of layers and no manifest.json.
	"docker-1.9": func(names []string) []entry { return append(chain(), repositories(names)) },
	// The same, saved by id.
	"docker-1.9-unnamed": func([]string) []entry { return chain() },
	// Docker 1.10 to 24.
	"docker-1.10": func(names []string) []entry {
		m, files := saved(anImage, names)
		return append(files, repositories(names), manifestJSON(m))
	},
	// The same without "repositories", as for images saved by id.
	"docker-unnamed": func([]string) []entry {
		m, files := saved(anImage, nil)
		return append(files, manifestJSON(m))
	},
	// A layer that occurs twice, the second time as a symbolic link.
	"docker-symlink": func(names []string) []entry {
		image := newImage("amd64", "base", "app", "base")
		m, files := saved(image, names)
		files[2] = entry{name: files[2].name, target: "../" + files[0].name}
		return append(files, manifestJSON(m))
	},
	// Two images; the last name is the second one's.
	"docker-two": func(names []string) []entry {
		one, files := saved(anImage, names[:len(names)-1])
		two, more := saved(newImage("amd64", "base", "other"), names[len(names)-1:])
		return append(merge(files, more), manifestJSON(one, two))
	},
	"docker-two-unnamed": func([]string) []entry {
		one, files := saved(anImage, nil)
		two, more := saved(newImage("amd64", "base", "other"), nil)
		return append(merge(files, more), manifestJSON(one, two))
	},
	// Docker 25 and later, classic store: manifests made at save time, an
	// index.json that lacks the image, an orphan config.
	"docker-25": func(names []string) []entry {
		l := ociLayout{}
		m := l.dockerManifest(anImage, names)
		m.LayerSources = map[digest.Digest]ocispec.Descriptor{}
		for _, diffID := range anImage.config.RootFS.DiffIDs {
			m.LayerSources[diffID] = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffID}
		}
		l.blob(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"amd64","os":"linux","orphan":true}`))
		return append(l.entries(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("gone"), Size: 4}), manifestJSON(m))
	},
	// Docker with the containerd store: the same files, but its own.
	"docker-containerd": func(names []string) []entry {
		l := ociLayout{}
		m := l.dockerManifest(anImage, names)
		return append(l.entries(named(l.image(anImage, plain), names)...), manifestJSON(m))
	},
	"oci": func(names []string) []entry {
		l := ociLayout{}
		return l.entries(named(l.image(anImage, gzipped), names)...)
	},
	"oci-zstd": func(names []string) []entry {
		l := ociLayout{}
		return l.entries(named(l.image(anImage, zstded), names)...)
	},
	"oci-unnamed": func([]string) []entry {
		l := ociLayout{}
		return l.entries(l.image(anImage, gzipped))
	},
	"oci-two-unnamed": func([]string) []entry {
		l := ociLayout{}
		return l.entries(l.image(anImage, gzipped), l.image(newImage("amd64", "other"), gzipped))
	},
	// BuildKit: an index inside the index, two platforms and an attestation.
	"oci-platforms": func(names []string) []entry {
		l := ociLayout{}
		return l.entries(named(l.platforms(), names)...)
	},
	// The containerd store after a pull of one platform.
	"oci-sparse": func(names []string) []entry {
		l := ociLayout{}
		index := l.platforms()
		arm := ociLayout{}
		arm.image(newImage("arm64", "base", "arm64"), gzipped)
		for name := range arm {
			if !bytes.Equal(arm[name], gzipped(layers["base"])) {
				delete(l, name)
			}
		}
		return l.entries(named(index, names)...)
	},
	"oci-foreign":        foreign,
	"oci-artifact":       artifact,
	"oci-cache-index":    cacheIndex,
	"oci-cache-manifest": cacheManifest,
	"oci-empty":          func([]string) []entry { return ociLayout{}.entries() },
	// skopeo copy … dir:
	"dir": func([]string) []entry {
		l := ociLayout{}
		manifest := l.image(anImage, gzipped)
		files := []entry{{name: "version", data: []byte("Directory Transport Version: 1.1\n")}}
		for name, data := range l {
			if name == oci.BlobPath(manifest.Digest) {
				name = "manifest.json"
			}
			files = append(files, entry{name: filepath.Base(name), data: data})
		}
		return sorted(files)
	},

	// What can't be right.
	"bad-diffid": func(names []string) []entry {
		image := newImage("amd64", "base", "app")
		image.config.RootFS.DiffIDs[1] = digest.FromString("something else")
		m, files := saved(image, names)
		return append(files, manifestJSON(m))
	},
	"bad-blob": func(names []string) []entry {
		l := ociLayout{}
		image := l.image(anImage, gzipped)
		l[oci.BlobPath(digest.FromBytes(gzipped(layers["app"])))] = gzipped(layers["other"])
		return l.entries(named(image, names)...)
	},
	"bad-size": func(names []string) []entry {
		l := ociLayout{}
		image := l.image(anImage, gzipped)
		image.Size++
		return l.entries(named(image, names)...)
	},
	"missing-layer": func(names []string) []entry {
		m, files := saved(anImage, names)
		return append(files[1:], manifestJSON(m))
	},
	"missing-blob": func(names []string) []entry {
		l := ociLayout{}
		image := l.image(anImage, gzipped)
		delete(l, oci.BlobPath(digest.FromBytes(gzipped(layers["app"]))))
		return l.entries(named(image, names)...)
	},
	"traversal": func(names []string) []entry {
		m, files := saved(anImage, names)
		return append(files, entry{name: "../../evil", data: []byte("evil")}, manifestJSON(m))
	},
	"bad-link": func(names []string) []entry {
		m, files := saved(anImage, names)
		files[1] = entry{name: files[1].name, target: "/etc/passwd"}
		return append(files, manifestJSON(m))
	},
	"twice": func(names []string) []entry {
		m, files := saved(anImage, names)
		other := files[0]
		other.data = append(slices.Clone(other.data), make([]byte, 512)...) // the same bytes would be taken
		return append(files, other, manifestJSON(m))
	},
	// A layer of which a pipe cannot tell in time what it is for.
	"docker-compressed-blobs": func(names []string) []entry {
		l := ociLayout{}
		m := dockerManifest{Config: oci.BlobPath(l.blob("", marshal(anImage.config)).Digest), RepoTags: names}
		for _, data := range anImage.layers {
			m.Layers = append(m.Layers, oci.BlobPath(l.blob("", gzipped(data)).Digest))
		}
		var files []entry
		for name, data := range l {
			files = append(files, entry{name: name, data: data})
		}
		return append(sorted(files), manifestJSON(m))
	},
	"no-image": func([]string) []entry { return []entry{{name: "hello.txt", data: []byte("hello")}} },
}

// layers are the tars of the images by name.
var layers = map[string][]byte{
	"base":  layerOf(entry{name: "bin/tool", data: noise(40_000)}, entry{name: "etc/message", data: []byte("base\n")}),
	"app":   layerOf(entry{name: "etc/message", data: []byte("app\n")}, entry{name: "srv/app", data: noise(30_000)}),
	"other": layerOf(entry{name: "etc/message", data: []byte("other\n")}),
	"arm64": layerOf(entry{name: "etc/message", data: []byte("arm64\n")}),
}

// noise is n bytes that do not compress to nothing.
func noise(n int) []byte {
	var b bytes.Buffer
	for i := uint32(n); b.Len() < n; i = i*1664525 + 1013904223 {
		fmt.Fprintf(&b, "%08x", i)
	}
	return b.Bytes()[:n]
}

// image is a config and its layers.
type image struct {
	config ocispec.Image
	layers [][]byte
}

var anImage = newImage("amd64", "base", "app")

func newImage(architecture string, names ...string) image {
	created := time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)
	i := image{config: ocispec.Image{
		Created:  &created,
		Platform: ocispec.Platform{OS: "linux", Architecture: architecture},
		Config:   ocispec.ImageConfig{Env: []string{"GREETING=hello"}},
		RootFS:   ocispec.RootFS{Type: "layers"},
	}}
	for _, name := range names {
		i.layers = append(i.layers, layers[name])
		i.config.RootFS.DiffIDs = append(i.config.RootFS.DiffIDs, digest.FromBytes(layers[name]))
	}
	return i
}

// ---- docker archives ---------------------------------------------------------

type dockerManifest struct {
	Config       string
	RepoTags     []string
	Layers       []string
	LayerSources map[digest.Digest]ocispec.Descriptor `json:",omitempty"`
}

func manifestJSON(list ...dockerManifest) entry {
	return entry{name: "manifest.json", data: marshal(list)}
}

func repositories(names []string) entry {
	tags := map[string]map[string]string{}
	for _, name := range names {
		repository, tag, _ := ref.CutTag(name)
		if tags[repository] == nil {
			tags[repository] = map[string]string{}
		}
		tags[repository][tag] = strings.Repeat("2", 64)
	}
	return entry{name: "repositories", data: marshal(tags)}
}

// saved is an image as Docker 1.10 to 24 saves it: layers first, then the
// config; no entries for directories.
func saved(i image, names []string) (dockerManifest, []entry) {
	var files []entry
	config := marshal(i.config)
	m := dockerManifest{Config: digest.FromBytes(config).Encoded() + ".json", RepoTags: names}
	for n, data := range i.layers {
		name := digest.FromString(fmt.Sprint(n, digest.FromBytes(data))).Encoded() + "/layer.tar"
		m.Layers = append(m.Layers, name)
		files = append(files, entry{name: name, data: data})
	}
	return m, append(files, entry{name: m.Config, data: config})
}

// chain is the same image as Docker before 1.10 saves it.
func chain() []entry {
	one, two := strings.Repeat("1", 64), strings.Repeat("2", 64)
	v1 := func(id, parent string) []byte {
		fields := map[string]any{"id": id, "created": "2020-02-02T02:02:02Z", "architecture": "amd64", "os": "linux",
			"config": map[string]any{"Env": []string{"GREETING=hello"}}}
		if parent != "" {
			fields["parent"] = parent
		}
		return marshal(fields)
	}
	return []entry{
		{name: two + "/VERSION", data: []byte("1.0")}, {name: two + "/json", data: v1(two, one)}, {name: two + "/layer.tar", data: layers["app"]},
		{name: one + "/VERSION", data: []byte("1.0")}, {name: one + "/json", data: v1(one, "")}, {name: one + "/layer.tar", data: layers["base"]},
	}
}

func merge(a, b []entry) []entry {
	for _, e := range b {
		if !slices.ContainsFunc(a, func(o entry) bool { return o.name == e.name }) {
			a = append(a, e)
		}
	}
	return a
}

// ---- OCI layouts ---------------------------------------------------------------

// ociLayout holds blobs by path.
type ociLayout map[string][]byte

func (l ociLayout) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	l[oci.BlobPath(d)] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func plain(data []byte) []byte { return data }

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	must(z.Write(data))
	check(z.Close())
	return b.Bytes()
}

func zstded(data []byte) []byte {
	z, err := zstd.NewWriter(nil)
	check(err)
	return z.EncodeAll(data, nil)
}

// image adds an image whose layers are compressed so.
func (l ociLayout) image(i image, compress func([]byte) []byte) ocispec.Descriptor {
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: l.blob(ocispec.MediaTypeImageConfig, marshal(i.config))}
	for _, data := range i.layers {
		blob, mediaType := compress(data), ocispec.MediaTypeImageLayer
		switch {
		case bytes.HasPrefix(blob, []byte{0x1f, 0x8b}):
			mediaType = ocispec.MediaTypeImageLayerGzip
		case bytes.HasPrefix(blob, []byte{0x28, 0xb5}):
			mediaType = ocispec.MediaTypeImageLayerZstd
		}
		m.Layers = append(m.Layers, l.blob(mediaType, blob))
	}
	desc := l.blob(ocispec.MediaTypeImageManifest, marshal(m))
	desc.Platform = &i.config.Platform
	return desc
}

// platforms adds an index of two platforms, one with an attestation.
func (l ociLayout) platforms() ocispec.Descriptor {
	amd64 := l.image(anImage, gzipped)
	arm64 := l.image(newImage("arm64", "base", "arm64"), gzipped)
	statement := l.blob("application/vnd.in-toto+json", []byte(`{"_type":"https://in-toto.io/Statement/v0.1"}`))
	attestation := l.blob(ocispec.MediaTypeImageManifest, marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: l.blob(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[]}}`)),
		Layers: []ocispec.Descriptor{statement},
	}))
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{
		"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": amd64.Digest.String(),
	}
	return l.blob(ocispec.MediaTypeImageIndex, marshal(oci.NewIndex([]ocispec.Descriptor{amd64, arm64, attestation})))
}

// dockerManifest adds an image with plain layers and its line of manifest.json.
func (l ociLayout) dockerManifest(i image, names []string) dockerManifest {
	l.image(i, plain)
	m := dockerManifest{Config: oci.BlobPath(digest.FromBytes(marshal(i.config))), RepoTags: names}
	for _, data := range i.layers {
		m.Layers = append(m.Layers, oci.BlobPath(digest.FromBytes(data)))
	}
	return m
}

func named(desc ocispec.Descriptor, names []string) []ocispec.Descriptor {
	var list []ocispec.Descriptor
	for _, name := range names {
		list = append(list, oci.Named(desc, name))
	}
	return list
}

// entries is the layout: blobs first, as docker save writes them.
func (l ociLayout) entries(top ...ocispec.Descriptor) []entry {
	var files []entry
	for name, data := range l {
		files = append(files, entry{name: name, data: data})
	}
	return append(sorted(files),
		entry{name: ocispec.ImageIndexFile, data: marshal(oci.NewIndex(top))},
		entry{name: ocispec.ImageLayoutFile, data: oci.LayoutFile})
}

// ---- writing -------------------------------------------------------------------

func layerOf(files ...entry) []byte {
	var b bytes.Buffer
	check(writeTar(&b, files))
	return b.Bytes()
}

func writeTar(w io.Writer, files []entry) error {
	tw := tar.NewWriter(w)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if strings.Contains(f.name+f.target, escape) {
			h.Format = tar.FormatPAX
		}
		if f.target != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.target
		}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(f.data); err != nil {
			return err
		}
	}
	return tw.Close()
}

// writeArchive writes a tar, one wrapped in gzip or zstd, or a directory, as
// the ending of the path says.
func writeArchive(path string, files []entry) error {
	if !strings.Contains(filepath.Base(path), ".tar") {
		return writeDirectory(path, files)
	}
	var b bytes.Buffer
	if err := writeTar(&b, files); err != nil {
		return err
	}
	data := b.Bytes()
	switch filepath.Ext(path) {
	case ".gz":
		data = gzipped(data)
	case ".zst":
		data = zstded(data)
	}
	return os.WriteFile(path, data, 0o644)
}

func writeDirectory(dir string, files []entry) error {
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func sorted(files []entry) []entry {
	slices.SortFunc(files, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return files
}

func kindNames() string { return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ") }

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	check(err)
	return data
}

// check ends the tests for errors that only a mistake in this file can cause.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](v T, err error) T { check(err); return v }
