package legacy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/oci"
)

// schema1 is an image manifest v2, schema 1 (distribution,
// "manifest-v2-1.md"). Layers and history go from the uppermost down.
type schema1 struct {
	SchemaVersion int    `json:"schemaVersion"`
	Architecture  string `json:"architecture"`
	FSLayers      []struct {
		BlobSum digest.Digest `json:"blobSum"`
	} `json:"fsLayers"`
	History []struct {
		V1Compatibility string `json:"v1Compatibility"`
	} `json:"history"`
}

// v1Image is what is read of a v1Compatibility (docker/docker,
// "image/spec/v1.md").
type v1Image struct {
	Created         *time.Time `json:"created"`
	Author          string     `json:"author"`
	Comment         string     `json:"comment"`
	Throwaway       bool       `json:"throwaway"`
	ContainerConfig struct {
		Cmd []string
	} `json:"container_config"`
}

// readSchema1 gives the config of the image of a schema 1 manifest, without
// rootfs since that takes the layers' contents, and its layers from the lowest
// up. A layer whose history says throwaway is empty and left out. Errors match
// [oci.ErrCorrupt].
func readSchema1(manifest []byte) (config []byte, layers []digest.Digest, err error) {
	var m schema1
	if err := jsontext.Unmarshal(manifest, &m); err != nil {
		return nil, nil, fmt.Errorf("%w: schema 1 manifest: %v", oci.ErrCorrupt, err)
	}
	switch {
	case m.SchemaVersion != 1:
		return nil, nil, fmt.Errorf("%w: manifest has schemaVersion %d, expected 1", oci.ErrCorrupt, m.SchemaVersion)
	case len(m.History) == 0 || len(m.History) > maxLayers:
		return nil, nil, fmt.Errorf("%w: schema 1 manifest has %d entries of history, expected 1 to %d", oci.ErrCorrupt, len(m.History), maxLayers)
	case len(m.History) != len(m.FSLayers):
		return nil, nil, fmt.Errorf("%w: schema 1 manifest has %d layers and %d entries of history, expected as many", oci.ErrCorrupt, len(m.FSLayers), len(m.History))
	}
	var history []ocispec.History
	for i, h := range m.History {
		var v1 v1Image
		if err := jsontext.Unmarshal([]byte(h.V1Compatibility), &v1); err != nil {
			return nil, nil, fmt.Errorf("%w: schema 1 manifest: history %d: %v", oci.ErrCorrupt, i, err)
		}
		history = append(history, ocispec.History{
			Created: v1.Created, CreatedBy: strings.Join(v1.ContainerConfig.Cmd, " "),
			Author: v1.Author, Comment: v1.Comment, EmptyLayer: v1.Throwaway,
		})
		if v1.Throwaway {
			continue
		}
		d := m.FSLayers[i].BlobSum
		if err := d.Validate(); err != nil {
			return nil, nil, fmt.Errorf("%w: schema 1 manifest: layer %d: digest %q: %v", oci.ErrCorrupt, i, d, err)
		}
		layers = append(layers, d)
	}
	slices.Reverse(history)
	slices.Reverse(layers)
	config, err = configOf(m, history)
	return config, layers, err
}

// configOf makes a config of the fields of the uppermost layer's history.
func configOf(m schema1, history []ocispec.History) ([]byte, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(m.History[0].V1Compatibility), &fields) != nil || fields == nil {
		return nil, fmt.Errorf("%w: schema 1 manifest: history 0 is no object", oci.ErrCorrupt)
	}
	maps.DeleteFunc(fields, func(name string, _ json.RawMessage) bool {
		return slices.ContainsFunc([]string{
			"id", "parent", "Size", "parent_id", "layer_id", "throwaway", "rootfs", "history",
		}, func(gone string) bool { return strings.EqualFold(name, gone) })
	})
	architecture := m.Architecture
	if architecture == "" {
		architecture = "amd64"
	}
	// Both were implied at first.
	for name, value := range map[string]string{"os": "linux", "architecture": architecture} {
		var there string
		if json.Unmarshal(fields[name], &there) == nil && there != "" {
			continue
		}
		data, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		fields[name] = data
	}
	data, err := json.Marshal(history)
	if err != nil {
		return nil, err
	}
	fields["history"] = data
	if data, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	var c ocispec.Image
	if err := jsontext.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("%w: schema 1 manifest: history 0 is no config: %v", oci.ErrCorrupt, err)
	}
	return data, nil
}
