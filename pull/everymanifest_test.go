package pull_test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Every target takes each manifest that can be published, whatever it lacks, or says why
// not: a docker archive is one that names config and layers of what is in it.
func TestEveryManifestToEveryTarget(t *testing.T) {
	accepted, archives := 0, 0
	for _, mediaType := range []string{"", ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, oci.MediaTypeDockerSigned1, "application/vnd.oci.artifact.manifest.v1+json"} {
		for _, config := range []string{"", `null`, `{}`, `{"digest":"bogus","size":2}`, "config"} {
			for _, layers := range []string{"", `null`, `[]`, "layer"} {
				for _, children := range []string{"", `[]`, "image"} {
					m := shape{t: t, mediaType: mediaType, config: config, layers: layers, manifests: children}
					all, docker := m.pull()
					accepted, archives = accepted+all, archives+docker
				}
			}
		}
	}
	if accepted < 20 || archives < 2 {
		t.Errorf("only %d manifests are accepted, %d of them in docker archives", accepted, archives)
	}
}

// shape is a manifest by its fields, each absent or as it stands there, unless it is one
// of the words for a descriptor of what is there.
type shape struct {
	t                                    *testing.T
	mediaType, config, layers, manifests string
}

// pull publishes the manifest and pulls it to every kind of target; the numbers are 1
// where that can be, and where a docker archive is made.
func (s shape) pull() (accepted, archives int) {
	b := testlayout.NewBlocks()
	l := testlayout.New(s.t, b)
	encode := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			s.t.Fatal(err)
		}
		return string(data)
	}
	content := `{"schemaVersion":2`
	for name, value := range map[string]string{"config": s.config, "layers": s.layers, "manifests": s.manifests} {
		switch value {
		case "":
			continue
		case "config":
			value = encode(l.Blob(ocispec.MediaTypeImageConfig, []byte(`{"os":"linux","architecture":"amd64"}`)))
		case "layer":
			value = encode([]ocispec.Descriptor{l.Blob(ocispec.MediaTypeImageLayer, []byte("layer"))})
		case "image":
			value = encode([]ocispec.Descriptor{l.Image("amd64", []byte("layer"))})
		}
		content += `,"` + name + `":` + value
	}
	desc := oci.Named(l.Blob(s.mediaType, []byte(content+"}")), "app:1")
	root := l.Publish(desc)
	opened, err := layout.Open(s.t.Context(), b, root)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := opened.Reachable(s.t.Context(), desc); err != nil {
		return 0, 0
	}
	name := ref.Name{Root: root, Repository: "app", Tag: "1"}
	dir := s.t.TempDir()
	file := filepath.Join(dir, "file.tar")
	for _, to := range []pull.Target{pull.Directory(filepath.Join(dir, "layout")), pull.Archive{Path: file}, pull.Archive{Path: file, Docker: true}} {
		job, err := pull.Prepare(s.t.Context(), opened, name, to, pull.Wanted{})
		if err == nil {
			_, err = to.Pull(s.t.Context(), job)
		}
		archive, isArchive := to.(pull.Archive)
		switch {
		case isArchive && archive.Docker && errors.Is(err, oci.ErrNotFound):
		case errors.Is(err, oci.ErrNotFound) || errors.Is(err, oci.ErrManifestUnknown): // nobody can tell what it is
		case err != nil:
			s.t.Errorf("%q %s to %s: %v", s.mediaType, content, to, err)
		case isArchive:
			archives += s.checkTar(file, content, archive.Docker)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range left {
		if e.Name() != "layout" && e.Name() != "file.tar" {
			s.t.Errorf("%q %s: %s is left", s.mediaType, content, e.Name())
		}
	}
	return 1, archives
}

// checkTar tells whether a tar is a docker archive, as it must be, of which all is there.
func (s shape) checkTar(file, content string, must bool) int {
	f, err := os.Open(file)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	entries := map[string][]byte{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			entries[h.Name], err = io.ReadAll(tr)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	var images []struct {
		Config string
		Layers []string
	}
	manifest, is := entries["manifest.json"]
	if !is {
		if must {
			s.t.Errorf("%q %s: a docker archive without manifest.json", s.mediaType, content)
		}
		return 0
	}
	if err := json.Unmarshal(manifest, &images); err != nil {
		s.t.Fatal(err)
	}
	for _, i := range images {
		for _, name := range append(i.Layers, i.Config) {
			if entries[name] == nil {
				s.t.Errorf("%q %s: manifest.json names %q, which is not there", s.mediaType, content, name)
			}
		}
	}
	return 1
}

// What fails half-way leaves nothing beside the file, nor what panics.
func TestArchiveLeavesNothing(t *testing.T) {
	for name, fn := range map[string]func(io.Writer) error{
		"error": func(io.Writer) error { return errors.New("no") },
		"panic": func(io.Writer) error { panic("no") },
	} {
		dir := t.TempDir()
		func() {
			defer func() { _ = recover() }()
			if err := (pull.Archive{Path: filepath.Join(dir, "file.tar")}).Write(t.Context(), fn); err == nil || err.Error() != "no" {
				t.Errorf("%s: %v", name, err)
			}
		}()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v (%v)", name, fmt.Sprint(left), err)
		}
	}
}
