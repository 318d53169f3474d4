package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// made builds an image of two programs and gives its files.
func made(t *testing.T) (archive []byte, files map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	var from binaries
	for _, arch := range []string{"amd64", "arm64"} {
		file := filepath.Join(dir, arch)
		if err := os.WriteFile(file, []byte("program of "+arch), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := from.Set(arch + "=" + file); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "image.tar")
	if err := build(from, "app:1", out); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return archive, files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %q", err, data)
	}
	return v
}

// TestPlatforms: without it one of the architectures could run the other's program.
func TestPlatforms(t *testing.T) {
	again, files := made(t)
	if second, _ := made(t); !bytes.Equal(again, second) {
		t.Error("the same programs gave different archives")
	}
	top := decode[ocispec.Index](t, files["index.json"]).Manifests
	if len(top) != 1 || top[0].MediaType != ocispec.MediaTypeImageIndex {
		t.Fatalf("index.json lists %v, want one index", top)
	}
	images := decode[ocispec.Index](t, files[oci.BlobPath(top[0].Digest)]).Manifests
	if len(images) != 2 {
		t.Fatalf("%d images, want 2", len(images))
	}
	for i, arch := range []string{"amd64", "arm64"} {
		manifest := decode[ocispec.Manifest](t, files[oci.BlobPath(images[i].Digest)])
		config := decode[dockerspec.DockerOCIImage](t, files[oci.BlobPath(manifest.Config.Digest)])
		if images[i].Platform == nil || images[i].Platform.Architecture != arch || config.Architecture != arch {
			t.Errorf("image %d is of %v, its config of %s; want %s", i, images[i].Platform, config.Architecture, arch)
		}
		if config.Config.User != "65532:65532" {
			t.Errorf("the image runs as %q", config.Config.User)
		}
		if config.Config.Healthcheck == nil || len(config.Config.Healthcheck.Test) != 3 {
			t.Errorf("the image's health check is %v", config.Config.Healthcheck)
		}
	}
}

// TestAuthorities: without them the server could not ask a gateway by HTTPS.
func TestAuthorities(t *testing.T) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities()) {
		t.Fatal("no certificate can be read")
	}
	if n := bytes.Count(authorities(), []byte("BEGIN CERTIFICATE")); n < 50 {
		t.Errorf("%d authorities, want those that Mozilla trusts", n)
	}
}
