package dockerarchive

import (
	"encoding/json"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
)

// Saved is what manifest.json says of one image. Names are as they stand there:
// entries may be spelt with a slash in front, or with backslashes.
type Saved struct {
	Config       string
	Layers       []string
	LayerSources bool // it tells where layers came from, as Docker 25 and later do
}

// ParseManifest reads the manifest.json of docker save; ok is false for any other
// file of that name, such as skopeo's.
func ParseManifest(manifestJSON []byte) (saved []Saved, ok bool) {
	var entries []manifestEntry
	if json.Unmarshal(manifestJSON, &entries) != nil {
		return nil, false
	}
	for _, e := range entries {
		if e.Config == "" {
			return nil, false
		}
		saved = append(saved, Saved{e.Config, e.Layers, e.LayerSources != nil})
	}
	return saved, len(saved) > 0
}

// Expected tells, by entry, the diffIDs that the configs state for layers; config
// gives the content of one, nil when there is none. It is a hint to be checked:
// what cannot be read or does not fit is left out.
func Expected(manifestJSON []byte, config func(name string) []byte) map[string]digest.Digest {
	saved, _ := ParseManifest(manifestJSON)
	expected := map[string]digest.Digest{}
	for _, e := range saved {
		var c ocispec.Image
		if json.Unmarshal(config(e.Config), &c) != nil || len(c.RootFS.DiffIDs) != len(e.Layers) {
			continue
		}
		for i, layer := range e.Layers {
			name, err := archive.CleanName(layer)
			if d := c.RootFS.DiffIDs[i]; err == nil && d.Validate() == nil && d.Algorithm() == digest.SHA256 {
				expected[name] = d
			}
		}
	}
	return expected
}
