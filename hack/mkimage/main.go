// Command mkimage builds an OCI image of the project's own binary without a
// daemon and writes it as an OCI layout in a tar: one layer with the user, the
// data directory and the authorities of TLS that Mozilla trusts, one with the
// binary. Several binaries make an index of one image each. The same input gives
// the same bytes.
//
//	go run ./hack/mkimage -binary amd64=FILE -binary arm64=FILE -name image2ipfs:1 -o image.tar
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
)

func main() {
	var binaries binaries
	flag.Var(&binaries, "binary", "static linux binary to put into the image, as ARCH=FILE; FILE alone is of this machine's architecture; may be given several times")
	name := flag.String("name", "image2ipfs:latest", "name of the image")
	out := flag.String("o", "image2ipfs.tar", "archive to write")
	flag.Parse()
	if err := build(binaries, *name, *out); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

// binaries is a flag: the program for each architecture.
type binaries []binary

type binary struct{ arch, file string }

func (b *binaries) String() string { return fmt.Sprint(*b) }

func (b *binaries) Set(text string) error {
	arch, file, ok := strings.Cut(text, "=")
	if !ok {
		arch, file = runtime.GOARCH, text
	}
	*b = append(*b, binary{arch, file})
	return nil
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

// build writes the archive. One binary makes an image, several an index.
func build(from binaries, name, out string) error {
	if len(from) == 0 {
		return errors.New("-binary names no binary")
	}
	l := &layout{files: map[string][]byte{}}
	var images []ocispec.Descriptor
	for _, b := range from {
		image, err := l.image(b)
		if err != nil {
			return err
		}
		images = append(images, image)
	}
	top := images[0]
	if len(images) > 1 {
		var err error
		if top, err = l.json(ocispec.MediaTypeImageIndex, oci.NewIndex(images)); err != nil {
			return err
		}
	}
	index, err := json.Marshal(oci.NewIndex([]ocispec.Descriptor{oci.Named(top, name)}))
	if err != nil {
		return err
	}
	l.add(ocispec.ImageLayoutFile, oci.LayoutFile)
	l.add(ocispec.ImageIndexFile, index)
	return l.write(out)
}

// image adds the image of one architecture.
func (l *layout) image(b binary) (manifest ocispec.Descriptor, err error) {
	program, err := os.ReadFile(b.file)
	if err != nil {
		return manifest, err
	}
	config := imageConfig(b.arch)
	var layers []ocispec.Descriptor
	for _, files := range [][]*file{baseFiles(), {{"usr/local/bin/image2ipfs", 0o755, program}}} {
		desc, diffID, err := l.layer(files)
		if err != nil {
			return manifest, err
		}
		layers = append(layers, desc)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	}
	configDesc, err := l.json(ocispec.MediaTypeImageConfig, config)
	if err != nil {
		return manifest, err
	}
	manifest, err = l.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: configDesc, Layers: layers,
	})
	manifest.Platform = &config.Platform
	return manifest, err
}

// imageConfig is the config of OCI, with the health check of Docker's, which OCI
// does not have and its readers skip.
func imageConfig(arch string) dockerspec.DockerOCIImage {
	var c dockerspec.DockerOCIImage
	c.Platform = ocispec.Platform{OS: "linux", Architecture: arch}
	c.RootFS.Type = "layers"
	c.Config = dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User:         "65532:65532",
			Env:          []string{"PATH=/usr/local/bin", "IMAGE2IPFS_PATH=/data"},
			Entrypoint:   []string{"image2ipfs"},
			Cmd:          []string{"serve"},
			ExposedPorts: map[string]struct{}{"5000/tcp": {}},
			Volumes:      map[string]struct{}{"/data": {}},
		},
		DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{
			Healthcheck: &dockerspec.HealthcheckConfig{
				Test:     []string{"CMD", "image2ipfs", "health"},
				Interval: 30 * time.Second, Timeout: 10 * time.Second, StartPeriod: time.Minute, Retries: 3,
			},
		},
	}
	return c
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
		{"etc/ssl/certs/ca-certificates.crt", 0o644, authorities()},
	}
}

// authorities are the roots that Mozilla trusts, in PEM. Those that it trusts
// under a condition, which a file cannot say, are left out.
func authorities() []byte {
	var pems bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&pems, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes all
		}
	}
	return pems.Bytes()
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
