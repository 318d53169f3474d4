package pull

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/oci"
)

// CheckDockerArchive says why a docker archive cannot hold the image: a layer that
// is distributed elsewhere is not in the layout, or it is an artifact, which has
// nothing to run. The error matches [oci.ErrNotFound].
func (i *Image) CheckDockerArchive(ctx context.Context) error {
	if len(i.Foreign) > 0 {
		return fmt.Errorf("%w: %s; a docker archive needs all layers: pull --to oci:DIR or oci-archive:FILE, and add that one", oci.ErrNotFound, oci.DescribeForeign(i.Foreign[0]))
	}
	for _, desc := range i.index.Manifests {
		if err := i.refuseArtifact(ctx, desc, "which docker archives cannot hold"); err != nil {
			return err
		}
	}
	return nil
}

// dockerManifest is the manifest.json that makes the layout a docker archive of
// its images; nil when an index stands at its top, for which docker archives have
// no words, when a layer is not there, or when there is no image.
func (i *Image) dockerManifest(ctx context.Context) ([]byte, error) {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if len(i.Foreign) > 0 {
		return nil, nil
	}
	var entries []entry
	seen := map[digest.Digest]int{}
	taken := map[string]bool{} // a name means the first image that has it
	for _, desc := range i.index.Manifests {
		if !oci.IsManifest(desc.MediaType) {
			return nil, nil
		}
		at, ok := seen[desc.Digest]
		if !ok {
			data, err := i.layout.Files().Manifest(ctx, desc)
			if err != nil {
				return nil, err
			}
			var m ocispec.Manifest
			if err := jsontext.Unmarshal(data, &m); err != nil {
				return nil, fmt.Errorf("%w: manifest %s: %v", oci.ErrCorrupt, desc.Digest, err)
			}
			if oci.ArtifactOf(data) != nil {
				continue
			}
			e := entry{Config: oci.BlobPath(m.Config.Digest), RepoTags: []string{}}
			for _, l := range m.Layers {
				e.Layers = append(e.Layers, oci.BlobPath(l.Digest))
			}
			at = len(entries)
			seen[desc.Digest], entries = at, append(entries, e)
		}
		for _, name := range oci.ImageNames(desc) {
			if name.Repository != "" && name.Tag != "" && !taken[name.String()] {
				taken[name.String()] = true
				entries[at].RepoTags = append(entries[at].RepoTags, name.String())
			}
		}
	}
	if len(entries) == 0 {
		return nil, nil
	}
	return json.Marshal(entries)
}
