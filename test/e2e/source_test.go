//go:build e2e

// Reading the archives independently of the program: what they say is what
// engines must have after a pull.

package e2e

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// source holds the JSON documents of an archive by name; layers are skipped.
type source map[string][]byte

// docJSON is more than any document in the test archives takes.
const docJSON = 1 << 20

// readSource reads a tar or a directory.
func readSource(name string) (source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	s := source{}
	if info.IsDir() {
		return s, s.readDir(os.DirFS(name))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return s, s.readTar(f)
}

func (s source) readDir(dir fs.FS) error {
	return fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := dir.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return s.keep(name, f)
	})
}

func (s source) readTar(r io.Reader) error {
	for entries := tar.NewReader(r); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.keep(header.Name, entries); err != nil {
			return err
		}
	}
}

// keep stores an entry if it is a document.
func (s source) keep(name string, r io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(r, docJSON))
	if err == nil && json.Valid(raw) {
		s[name] = raw
	}
	return err
}

// dockerImage is an element of manifest.json in what `docker save` writes.
type dockerImage struct {
	Config       string
	RepoTags     []string
	LayerSources map[string]any
}

// find returns what the archive says about an image, given the end of its name
// as in /small:1. Archives without manifests of their own leave Digests empty.
func (s source) find(name, platform string) (image, error) {
	var docker []dockerImage
	if json.Unmarshal(s["manifest.json"], &docker) == nil && len(docker) > 0 {
		if _, oci := s["index.json"]; !oci || docker[0].LayerSources != nil {
			return s.findDocker(docker, name)
		}
	}
	var index document
	if err := json.Unmarshal(s["index.json"], &index); err != nil {
		return image{}, fmt.Errorf("index.json: %w", err)
	}
	for _, m := range index.Manifests {
		names := []string{m.Annotations["io.containerd.image.name"], m.Annotations["org.opencontainers.image.ref.name"]}
		if len(index.Manifests) == 1 || anyEndsIn(names, name) {
			return resolve(s.blob, m.Digest, platform)
		}
	}
	return image{}, fmt.Errorf("index.json: no image %s", name)
}

func (s source) findDocker(images []dockerImage, name string) (image, error) {
	for _, i := range images {
		if len(images) == 1 || anyEndsIn(i.RepoTags, name) {
			config := s[i.Config]
			ids, err := diffIDs(config)
			return image{Config: digestOf(config), DiffIDs: ids}, err
		}
	}
	return image{}, fmt.Errorf("manifest.json: no image %s", name)
}

// anyEndsIn tells whether a name ends in whole components.
func anyEndsIn(names []string, end string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix("/"+name, end) })
}

// blob reads a document of an OCI layout by digest.
func (s source) blob(digest string) ([]byte, error) {
	raw := s["blobs/"+strings.Replace(digest, ":", "/", 1)]
	if got := digestOf(raw); got != digest {
		return nil, fmt.Errorf("archive: blob %s is %s", digest, got)
	}
	return raw, nil
}
