// Command mkimage builds an OCI image of the project's own binary without a
// daemon and writes it as an OCI layout in a tar: one layer with the user and
// the data directory, one with the binary. The same input gives the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
)

func main() {
	binary := flag.String("binary", "bin/image2ipfs", "static linux binary to put into the image")
	name := flag.String("name", "image2ipfs:latest", "name of the image")
	arch := flag.String("arch", runtime.GOARCH, "architecture of the binary")
	out := flag.String("o", "image2ipfs.tar", "archive to write")
	flag.Parse()
	if err := build(*binary, *name, *arch, *out); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

// layout collects the files of an OCI layout.
type layout struct {
	names []string
	files map[string][]byte
}

func (l *layout) add(name string, data []byte) {
	if _, ok := l.files[name]; !ok {
		l.names = append(l.names, name)
	}
	l.files[name] = data
}

func (l *layout) blob(mediaType string, data []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	l.add(oci.BlobPath(desc.Digest), data)
	return desc
}

func (l *layout) json(mediaType string, v any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	return l.blob(mediaType, data), err
}

func build(binary, name, arch, out string) error {
	program, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	l := &layout{files: map[string][]byte{}}
	config := imageConfig(arch)
	var layers []ocispec.Descriptor
	for _, files := range [][]*file{baseFiles(), {{"usr/local/bin/image2ipfs", 0o755, program}}} {
		desc, diffID, err := l.layer(files)
		if err != nil {
			return err
		}
		layers = append(layers, desc)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	}
	configDesc, err := l.json(ocispec.MediaTypeImageConfig, config)
	if err != nil {
		return err
	}
	manifest, err := l.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: configDesc, Layers: layers,
	})
	if err != nil {
		return err
	}
	manifest.Platform = &config.Platform
	index, err := json.Marshal(oci.NewIndex([]ocispec.Descriptor{oci.Named(manifest, name)}))
	if err != nil {
		return err
	}
	l.add(ocispec.ImageLayoutFile, oci.LayoutFile)
	l.add(ocispec.ImageIndexFile, index)
	return l.write(out)
}

func imageConfig(arch string) ocispec.Image {
	return ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: arch},
		Config: ocispec.ImageConfig{
			User:         "65532:65532",
			Env:          []string{"PATH=/usr/local/bin", "IMAGE2IPFS_PATH=/data"},
			Entrypoint:   []string{"image2ipfs"},
			Cmd:          []string{"serve"},
			ExposedPorts: map[string]struct{}{"5000/tcp": {}},
			Volumes:      map[string]struct{}{"/data": {}},
		},
		RootFS: ocispec.RootFS{Type: "layers"},
	}
}

// file is one of a layer; without data it is a
// directory.
type file struct {
	name string
	mode int64
	data []byte
}

func baseFiles() []*file {
	return []*file{
		{"data/", 0o700, nil},
		{"etc/passwd", 0o644, []byte("root:x:0:0:root:/:/none\nimage2ipfs:x:65532:65532:image2ipfs:/data:/none\n")},
		{"etc/group", 0o644, []byte("root:x:0:\nimage2ipfs:x:65532:\n")},
	}
}

func (l *layout) layer(files []*file) (ocispec.Descriptor, digest.Digest, error) {
	var plain bytes.Buffer
	if err := writeTar(&plain, files); err != nil {
		return ocispec.Descriptor{}, "", err
	}
	c, err := layer.NewCompressor(context.Background(), &plain, layer.Options{})
	if err != nil {
		return ocispec.Descriptor{}, "", err
	}
	defer c.Close()
	data, err := io.ReadAll(c)
	if err != nil {
		return ocispec.Descriptor{}, "", err
	}
	return l.blob(ocispec.MediaTypeImageLayerGzip, data), c.DiffID(), nil
}

func writeTar(w io.Writer, files []*file) error {
	tw := tar.NewWriter(w)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)}
		if f.data == nil {
			h.Typeflag, h.Uid, h.Gid = tar.TypeDir, 65532, 65532
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

func (l *layout) write(out string) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var files []*file
	for _, name := range l.names {
		files = append(files, &file{name, 0o644, l.files[name]})
	}
	return writeTar(f, files)
}
