//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
)

// crane is go-containerregistry's client, pulling into an OCI layout. It checks
// every blob's digest.
type crane struct {
	crane command
	store string
}

func (c crane) Version(ctx context.Context) (string, error) {
	version, err := c.crane.output(ctx, "version")
	return "crane " + version, err
}

func (c crane) Pull(ctx context.Context, ref, platform string) (image, error) {
	digest, err := c.crane.output(ctx, "digest", ref)
	if err != nil {
		return image{}, err
	}
	if _, err := c.crane.output(ctx, "pull", "--format", "oci", "--platform", platform, ref, c.layout()); err != nil {
		return image{}, err
	}
	index, err := os.ReadFile(filepath.Join(c.layout(), "index.json"))
	if err != nil {
		return image{}, err
	}
	blobs := func(digest string) ([]byte, error) {
		if digest == digestOf(index) {
			return index, nil
		}
		return os.ReadFile(filepath.Join(c.layout(), "blobs", strings.Replace(digest, ":", "/", 1)))
	}
	got, err := resolve(blobs, digestOf(index), platform)
	got.Digests = []string{digest}
	return got, err
}

// Cat lets crane fetch the layers once more and lay them one over the other.
func (c crane) Cat(ctx context.Context, ref, file string) (string, error) {
	var files bytes.Buffer
	if err := c.crane.pipe(ctx, nil, &files, "export", ref, "-"); err != nil {
		return "", err
	}
	return fileInTar(&files, file)
}

func (c crane) Remove(context.Context, string) error { return os.RemoveAll(c.layout()) }

// layout is where the one image that is there at a time lies.
func (c crane) layout() string { return filepath.Join(c.store, "layout") }
