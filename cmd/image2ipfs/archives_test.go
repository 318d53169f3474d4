package main

// Small image archives of every kind that publish reads, made from one image,
// so that the scripts can tell whether what must be equal is equal.

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
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
	// Two images of one name, as after buildx builds by one tag twice into a layout.
	"oci-same": func(names []string) []entry {
		l := ociLayout{}
		amd, arm := l.image(anImage, gzipped), l.image(newImage("arm64", "base", "other"), gzipped)
		return l.entries(append(named(amd, names), named(arm, names)...)...)
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
