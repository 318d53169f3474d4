package main

// What the archives of archives_test.go are made of.

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
