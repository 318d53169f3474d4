// Package sample makes the archive of an image of a few bytes, for examples.
package sample

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Archive is an OCI layout of the image app:1 for linux/amd64 in a tar, as if it
// came from standard input. It panics when it cannot be made.
func Archive() *archive.Archive {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	blob := func(mediaType string, data []byte) ocispec.Descriptor {
		d := digest.FromBytes(data)
		file(w, oci.BlobPath(d), data)
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	file(files, "hello", []byte("hello\n"))
	must(files.Close())
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer.Bytes())}}
	manifest := blob(ocispec.MediaTypeImageManifest, encode(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    blob(ocispec.MediaTypeImageConfig, encode(config)),
		Layers:    []ocispec.Descriptor{blob(ocispec.MediaTypeImageLayer, layer.Bytes())},
	}))
	file(w, "index.json", encode(oci.NewIndex([]ocispec.Descriptor{oci.Named(manifest, "app:1")})))
	file(w, ocispec.ImageLayoutFile, encode(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}))
	must(w.Close())
	return archive.Stream("app.tar", io.NopCloser(&out))
}

func file(w *tar.Writer, name string, data []byte) {
	must(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}))
	_, err := w.Write(data)
	must(err)
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	must(err)
	return data
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("making the archive of an example: %v", err))
	}
}
