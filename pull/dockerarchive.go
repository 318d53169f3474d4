package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/oci"
)

// CheckDockerArchive says why a docker archive cannot hold the image: a layer that
// is distributed elsewhere is not in the layout, or it is an artifact, which has
// nothing to run, an index, or of another form than image manifests have. The error
// matches [oci.ErrNotFound].
func (i *Image) CheckDockerArchive(ctx context.Context) error {
	if len(i.Foreign) > 0 {
		return fmt.Errorf("%w: %s; a docker archive needs all layers: pull --to oci:DIR or oci-archive:FILE, and add that one", oci.ErrNotFound, oci.DescribeForeign(i.Foreign[0]))
	}
	for _, desc := range i.index.Manifests {
		if err := i.refuseArtifact(ctx, desc, "which docker archives cannot hold"); err != nil {
			return err
		}
		if _, err := i.dockerEntry(ctx, desc); err != nil {
			return err
		}
	}
	return nil
}

// dockerEntry is an image in docker save's manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// errNoDockerArchive is matched by errors about what docker archives have no words for; it
// matches [oci.ErrNotFound].
var errNoDockerArchive = fmt.Errorf("not for a docker archive: %w", oci.ErrNotFound)

// dockerEntry is what manifest.json says of a manifest, without names; nil for an
// artifact. The error matches errNoDockerArchive, or is that of reading the manifest.
func (i *Image) dockerEntry(ctx context.Context, desc ocispec.Descriptor) (*dockerEntry, error) {
	const advice = "pull --to oci:DIR or oci-archive:FILE takes it as it is"
	if !oci.IsAnyManifest(desc.MediaType) && desc.MediaType != "" {
		return nil, fmt.Errorf("%w: %s is of type %q, expected an image manifest: %s", errNoDockerArchive, desc.Digest, desc.MediaType, advice)
	}
	data, err := i.layout.Files().Manifest(ctx, desc)
	if err != nil {
		return nil, err
	}
	kind, err := oci.ManifestType(desc.MediaType, data)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if !oci.IsManifest(kind) {
		return nil, fmt.Errorf("%w: %s is of type %q, expected an image manifest: %s", errNoDockerArchive, desc.Digest, kind, advice)
	}
	var m ocispec.Manifest
	if err := jsontext.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: manifest %s: %v", oci.ErrCorrupt, desc.Digest, err)
	}
	if oci.ArtifactOf(data) != nil {
		return nil, nil
	}
	if m.Config.Digest.Validate() != nil {
		return nil, fmt.Errorf("%w: manifest %s names no config, which docker needs to run an image: %s", errNoDockerArchive, desc.Digest, advice)
	}
	e := &dockerEntry{Config: oci.BlobPath(m.Config.Digest), RepoTags: []string{}}
	for _, l := range m.Layers {
		e.Layers = append(e.Layers, oci.BlobPath(l.Digest))
	}
	return e, nil
}

// dockerManifest is the manifest.json that makes the layout a docker archive of
// its images; nil when one of them is what docker archives have no words for, such as an
// index, when a layer is not there, or when there is no image.
func (i *Image) dockerManifest(ctx context.Context) ([]byte, error) {
	if len(i.Foreign) > 0 {
		return nil, nil
	}
	var entries []dockerEntry
	seen := map[digest.Digest]int{}
	taken := map[string]bool{} // a name means the first image that has it
	for _, desc := range i.index.Manifests {
		at, ok := seen[desc.Digest]
		if !ok {
			e, err := i.dockerEntry(ctx, desc)
			if errors.Is(err, errNoDockerArchive) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			if e == nil {
				continue
			}
			at = len(entries)
			seen[desc.Digest], entries = at, append(entries, *e)
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
