//go:build e2e

// The little of OCI and tar that the tests must know by themselves: they judge
// the program, so they share no code with it.

package e2e

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// document is a manifest or an index, whichever fields are filled.
type document struct {
	Manifests []descriptor `json:"manifests"`
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
}

// descriptor is an OCI content descriptor.
type descriptor struct {
	Digest      string            `json:"digest"`
	Platform    platformFields    `json:"platform"`
	Annotations map[string]string `json:"annotations"`
}

type platformFields struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// is tells whether the fields spell a platform as in linux/arm/v7; none at all
// may be any platform.
func (p platformFields) is(platform string) bool {
	return p == platformFields{} ||
		platform == strings.TrimSuffix(path.Join(p.OS, p.Architecture, p.Variant), "/") ||
		platform == p.OS+"/"+p.Architecture
}

// digestOf is the sha256 digest of bytes, in OCI's spelling.
func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// resolve walks from a manifest or an index to one platform's config, reading
// blobs by digest, and returns what an engine should have after a pull.
func resolve(blob func(digest string) ([]byte, error), target, platform string) (image, error) {
	raw, err := blob(target)
	if err != nil {
		return image{}, err
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return image{}, fmt.Errorf("%s: %w", target, err)
	}
	for _, m := range doc.Manifests {
		if m.Platform.is(platform) {
			got, err := resolve(blob, m.Digest, platform)
			got.Digests = []string{target}
			return got, err
		}
	}
	if doc.Config.Digest == "" {
		return image{}, fmt.Errorf("%s: nothing for %s", target, platform)
	}
	config, err := blob(doc.Config.Digest)
	if err != nil {
		return image{}, err
	}
	ids, err := diffIDs(config)
	return image{Digests: []string{target}, Config: doc.Config.Digest, DiffIDs: ids}, err
}

// diffIDs returns the digests of the uncompressed layers that a config lists.
func diffIDs(config []byte) ([]string, error) {
	var c struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	err := json.Unmarshal(config, &c)
	return c.RootFS.DiffIDs, err
}

// layersOf returns the digests of a manifest's layers, the lowest first.
func layersOf(manifest []byte) ([]string, error) {
	var doc document
	err := json.Unmarshal(manifest, &doc)
	var layers []string
	for _, l := range doc.Layers {
		layers = append(layers, l.Digest)
	}
	return layers, err
}

// fileInTarFile reads one file from a tar on disk.
func fileInTarFile(name, file string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return fileInTar(f, file)
}

// fileInTar returns the trimmed text of one file of a tar, named by its
// absolute path, or os.ErrNotExist.
func fileInTar(r io.Reader, file string) (string, error) {
	for entries := tar.NewReader(r); ; {
		header, err := entries.Next()
		if err == io.EOF {
			return "", fmt.Errorf("%s: %w", file, os.ErrNotExist)
		}
		if err != nil {
			return "", err
		}
		if path.Join("/", header.Name) == file {
			text, err := io.ReadAll(entries)
			return strings.TrimSpace(string(text)), err
		}
	}
}
