package dockerarchive

import (
	"encoding/json"
	"path"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ConfigNames lists the entries that manifest.json names as configs; none when
// it cannot be read.
func ConfigNames(manifestJSON []byte) []string {
	var entries []manifestEntry
	if json.Unmarshal(manifestJSON, &entries) != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, path.Clean(e.Config))
	}
	return names
}

// Expected tells, by entry, the diffIDs that the configs state for layers. It is
// a hint to be checked: what cannot be read or does not fit is left out.
func Expected(manifestJSON []byte, configs map[string][]byte) map[string]digest.Digest {
	var entries []manifestEntry
	if json.Unmarshal(manifestJSON, &entries) != nil {
		return nil
	}
	expected := map[string]digest.Digest{}
	for _, e := range entries {
		var c ocispec.Image
		if json.Unmarshal(configs[path.Clean(e.Config)], &c) != nil || len(c.RootFS.DiffIDs) != len(e.Layers) {
			continue
		}
		for i, name := range e.Layers {
			if d := c.RootFS.DiffIDs[i]; d.Validate() == nil && d.Algorithm() == digest.SHA256 {
				expected[path.Clean(name)] = d
			}
		}
	}
	return expected
}
