package program

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// WriteArchive writes what "docker save" writes of an image whose layers have
// one file each, with the given contents. name is "repository:tag".
func WriteArchive(path, name string, contents ...[]byte) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	var layers []string
	var diffIDs []digest.Digest
	for i, content := range contents {
		var layer bytes.Buffer
		inner := tar.NewWriter(&layer)
		err := errors.Join(entry(inner, fmt.Sprintf("file%d", i), content), inner.Close())
		if err != nil {
			return err
		}
		layers = append(layers, fmt.Sprintf("%d/layer.tar", i))
		diffIDs = append(diffIDs, digest.FromBytes(layer.Bytes()))
		if err := entry(w, layers[i], layer.Bytes()); err != nil {
			return err
		}
	}
	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: diffIDs},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{name}, "Layers": layers}})
	if err != nil {
		return err
	}
	return errors.Join(entry(w, "config.json", config), entry(w, "manifest.json", manifest), w.Close())
}

func entry(w *tar.Writer, name string, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}
