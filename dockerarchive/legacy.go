package dockerarchive

import (
	"context"
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

// link is one of the directories of such an archive.
type link struct {
	v1Image
	json  []byte
	layer Layer
}

// legacy reads archives from before Docker 1.10: a directory for each
// layer, chained by parent, and names in "repositories", which may be missing.
func (c *converter) legacy() ([]Image, error) {
	heads, err := legacyHeads(c.ctx, c.files)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(heads)) {
		if err := c.legacyImage(id, heads[id]); err != nil {
			return nil, fmt.Errorf("image %s %v: %w", id, heads[id], err)
		}
	}
	return c.images, nil
}

// legacyHeads gives the names of every image by its id. Without
// "repositories" the images are those that are nobody's parent.
func legacyHeads(ctx context.Context, files Files) (map[string][]string, error) {
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
		if err := context.Cause(ctx); err != nil {
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

// link reads the directory of a layer, once.
func (c *converter) link(id string) (link, error) {
	if l, known := c.chain[id]; known {
		return l, nil
	}
	image, data, err := readV1(c.files, id)
	if err != nil {
		return link{}, err
	}
	layer, err := c.files.Layer(id + "/layer.tar")
	if err != nil {
		return link{}, err
	}
	l := link{image, data, layer}
	c.chain[id] = l
	return l, context.Cause(c.ctx)
}

// legacyImage follows the chain of parents from id down and builds a config
// of the head's own fields, its layers and their history.
func (c *converter) legacyImage(id string, names []string) error {
	var (
		layers  []Layer
		history []ocispec.History
		head    []byte
		seen    = map[string]bool{}
	)
	for at := id; at != ""; {
		if seen[at] {
			return fmt.Errorf("%w: the parents of layer %s go round in a circle", ErrInvalid, at)
		}
		seen[at] = true
		l, err := c.link(at)
		if err != nil {
			return err
		}
		if head == nil {
			head = l.json
		}
		layers = append(layers, l.layer)
		history = append(history, ocispec.History{
			Created:   l.Created,
			CreatedBy: strings.Join(l.ContainerConfig.Cmd, " "),
			Author:    l.Author,
			Comment:   l.Comment,
		})
		at = l.Parent
	}
	slices.Reverse(layers)
	slices.Reverse(history)
	config, err := legacyConfig(head, layers, history)
	if err != nil {
		return err
	}
	return c.add(config, layers, names)
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
