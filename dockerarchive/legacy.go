package dockerarchive

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// v1Image is what is read of <id>/json (docker/docker, "image/spec/v1.md").
type v1Image struct {
	ID              string     `json:"id"`
	Parent          string     `json:"parent"`
	Created         *time.Time `json:"created"`
	Author          string     `json:"author"`
	Comment         string     `json:"comment"`
	ContainerConfig struct {
		Cmd []string
	} `json:"container_config"`
}

// convertLegacy reads archives from before Docker 1.10: a directory for each
// layer, chained by parent, and names in "repositories", which may be missing.
func convertLegacy(files Files) ([]Image, error) {
	heads, err := legacyHeads(files)
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, id := range slices.Sorted(maps.Keys(heads)) {
		image, err := legacyImage(files, id, heads[id])
		if err != nil {
			return nil, fmt.Errorf("image %s %v: %w", id, heads[id], err)
		}
		images = append(images, image)
	}
	return images, nil
}

// legacyHeads gives the names of every image by its id. Without
// "repositories" the images are those that are nobody's parent.
func legacyHeads(files Files) (map[string][]string, error) {
	heads := map[string][]string{}
	data, err := files.JSON(RepositoriesFile)
	if err == nil {
		var repositories map[string]map[string]string
		if err := jsontext.Unmarshal(data, &repositories); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, RepositoriesFile, err)
		}
		for _, repository := range slices.Sorted(maps.Keys(repositories)) {
			tags := repositories[repository]
			for _, tag := range slices.Sorted(maps.Keys(tags)) {
				heads[tags[tag]] = append(heads[tags[tag]], repository+":"+tag)
			}
		}
		if len(heads) > 0 {
			return heads, nil
		}
	} else if !errors.Is(err, ErrMissing) {
		return nil, err
	}
	parents := map[string]bool{}
	for _, name := range files.Names() {
		id, ok := strings.CutSuffix(name, "/json")
		if !ok || strings.Contains(id, "/") {
			continue
		}
		image, _, err := readV1(files, id)
		if err != nil {
			return nil, err
		}
		parents[image.Parent] = true
		heads[id] = nil
	}
	for parent := range parents {
		delete(heads, parent)
	}
	if len(heads) == 0 {
		return nil, fmt.Errorf("%w: neither %s nor %s names an image", ErrInvalid, ManifestFile, RepositoriesFile)
	}
	return heads, nil
}

func readV1(files Files, id string) (v1Image, []byte, error) {
	name := id + "/json"
	data, err := files.JSON(name)
	if err != nil {
		return v1Image{}, nil, err
	}
	var image v1Image
	if err := jsontext.Unmarshal(data, &image); err != nil {
		return v1Image{}, nil, fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	return image, data, nil
}

// legacyImage follows the chain of parents from id down and builds a config
// of the head's own fields, its layers and their history.
func legacyImage(files Files, id string, names []string) (Image, error) {
	var (
		layers  []Layer
		history []ocispec.History
		head    []byte
		seen    = map[string]bool{}
	)
	for at := id; at != ""; {
		if seen[at] {
			return Image{}, fmt.Errorf("%w: the parents of layer %s go round in a circle", ErrInvalid, at)
		}
		seen[at] = true
		image, data, err := readV1(files, at)
		if err != nil {
			return Image{}, err
		}
		if head == nil {
			head = data
		}
		layer, err := files.Layer(at + "/layer.tar")
		if err != nil {
			return Image{}, err
		}
		layers = append(layers, layer)
		history = append(history, ocispec.History{
			Created:   image.Created,
			CreatedBy: strings.Join(image.ContainerConfig.Cmd, " "),
			Author:    image.Author,
			Comment:   image.Comment,
		})
		at = image.Parent
	}
	slices.Reverse(layers)
	slices.Reverse(history)
	config, err := legacyConfig(head, layers, history)
	if err != nil {
		return Image{}, err
	}
	return newImage(config, layers, names)
}

func legacyConfig(head []byte, layers []Layer, history []ocispec.History) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := jsontext.Unmarshal(head, &fields); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if fields == nil {
		return nil, fmt.Errorf("%w: the image's json is null", ErrInvalid)
	}
	for _, name := range []string{"id", "parent", "Size", "parent_id", "layer_id", "throwaway"} {
		delete(fields, name)
	}
	for name, value := range map[string]string{"os": "linux", "architecture": "amd64"} {
		if _, ok := fields[name]; !ok { // both were implied at first
			fields[name] = json.RawMessage(`"` + value + `"`)
		}
	}
	data, err := json.Marshal(history)
	if err != nil {
		return nil, err
	}
	fields["history"] = data
	return withRootFS(fields, layers)
}
