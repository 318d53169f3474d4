//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
)

// skopeo is skopeo copying into directories, which are its only store.
type skopeo struct {
	skopeo command
	store  string
}

func (s skopeo) Version(ctx context.Context) (string, error) {
	return s.skopeo.output(ctx, "--version")
}

func (s skopeo) Pull(ctx context.Context, ref, platform string) (image, error) {
	raw, err := s.skopeo.bytes(ctx, "inspect", "--raw", "--tls-verify=false", "docker://"+ref)
	if err != nil {
		return image{}, err
	}
	dir := s.dir(ref)
	if _, err := s.on(platform).output(ctx, "copy", "--quiet", "--src-tls-verify=false",
		"docker://"+ref, "dir:"+dir); err != nil {
		return image{}, err
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return image{}, err
	}
	blobs := func(digest string) ([]byte, error) {
		if digest == digestOf(manifest) {
			return manifest, nil
		}
		return os.ReadFile(filepath.Join(dir, strings.TrimPrefix(digest, "sha256:")))
	}
	got, err := resolve(blobs, digestOf(manifest), platform)
	got.Digests = []string{digestOf(raw)}
	return got, err
}

// Cat lets skopeo decompress the layers and looks for the file in each, the
// uppermost first.
func (s skopeo) Cat(ctx context.Context, ref, file string) (string, error) {
	plain := s.dir(ref) + ".plain"
	defer os.RemoveAll(plain)
	if _, err := s.skopeo.output(ctx, "copy", "--quiet", "--dest-decompress",
		"dir:"+s.dir(ref), "dir:"+plain); err != nil {
		return "", err
	}
	manifest, err := os.ReadFile(filepath.Join(plain, "manifest.json"))
	if err != nil {
		return "", err
	}
	layers, err := layersOf(manifest)
	if err != nil {
		return "", err
	}
	err = os.ErrNotExist
	for i := len(layers) - 1; i >= 0; i-- {
		var text string
		text, err = fileInTarFile(filepath.Join(plain, strings.TrimPrefix(layers[i], "sha256:")), file)
		if err == nil {
			return text, nil
		}
	}
	return "", err
}

func (s skopeo) Remove(_ context.Context, ref string) error { return os.RemoveAll(s.dir(ref)) }

// dir is where an image is copied to.
func (s skopeo) dir(ref string) string {
	return filepath.Join(s.store, base64.RawURLEncoding.EncodeToString([]byte(ref)))
}

// on is skopeo choosing another platform than this machine's.
func (s skopeo) on(platform string) command {
	p := strings.Split(platform+"//", "/")
	c := append(command{}, s.skopeo...)
	c = append(c, "--override-os", p[0], "--override-arch", p[1])
	if p[2] != "" {
		c = append(c, "--override-variant", p[2])
	}
	return c
}
