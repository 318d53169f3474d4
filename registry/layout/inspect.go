package layout

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry"
)

// Inspection is what a layout holds.
type Inspection struct {
	Size   int64 // bytes of all blobs, each once, whether an image needs them or not
	Images []InspectedImage
}

// InspectedImage is an image with all manifests that it leads to.
type InspectedImage struct {
	registry.Image
	Artifact  *oci.Artifact        // what it is where it is no image
	Manifests []InspectedManifest  // in the order of its indices
	Others    []ocispec.Descriptor // what its indices list besides manifests, such as the layers of a build cache
	Absent    []string             // what an index names and the layout lacks, for humans
}

// InspectedManifest is an image manifest.
type InspectedManifest struct {
	Digest   digest.Digest
	Platform string // "linux/amd64": the descriptor's, else the config's; "" when neither says
	Config   ocispec.Descriptor
	Layers   []ocispec.Descriptor
}

// Inspect reads the manifests of all images. Images must be whole: errors are
// those of [Layout.Images], [Layout.Reachable] and of the sizes of blobs.
func (l *Layout) Inspect(ctx context.Context) (*Inspection, error) {
	images, err := l.Images(ctx)
	if err != nil {
		return nil, err
	}
	out := &Inspection{}
	for _, image := range images {
		i, err := l.InspectImage(ctx, image)
		if err != nil {
			return nil, err
		}
		out.Images = append(out.Images, i)
	}
	err = l.files.Blobs(ctx, func(d digest.Digest, _ cid.Cid) error {
		size, err := l.files.Size(ctx, d)
		out.Size += size
		return err
	})
	return out, err
}

// InspectImage is [Layout.Inspect] for one of [Layout.Images].
func (l *Layout) InspectImage(ctx context.Context, image registry.Image) (InspectedImage, error) {
	out := InspectedImage{Image: image}
	needed, err := l.Reachable(ctx, image.Descriptor)
	if err != nil {
		return out, err
	}
	out.Absent = needed.Absent
	if out.Artifact, err = l.artifact(ctx, image.Descriptor); err != nil {
		return out, err
	}
	if out.Descriptor, err = l.typed(ctx, out.Descriptor); err != nil {
		return out, err
	}
	explained := map[digest.Digest]bool{}
	for i, b := range needed.Blobs {
		if b, err = l.typed(ctx, b); err != nil {
			return out, err
		}
		needed.Blobs[i] = b
		if !oci.IsManifest(b.MediaType) {
			continue
		}
		m, err := l.inspectManifest(ctx, b)
		if err != nil {
			return out, err
		}
		out.Manifests = append(out.Manifests, m)
		for _, part := range append(m.Layers, m.Config) {
			explained[part.Digest] = true
		}
	}
	for _, b := range needed.Blobs {
		if !oci.IsAnyManifest(b.MediaType) && !explained[b.Digest] {
			out.Others = append(out.Others, b)
		}
	}
	return out, nil
}

// typed gives a descriptor that tells no media type the one that its content tells, where
// that is a manifest or an index.
func (l *Layout) typed(ctx context.Context, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	if desc.MediaType != "" || desc.Size > oci.MaxManifestSize {
		return desc, nil
	}
	data, err := l.files.Manifest(ctx, desc)
	if err == nil {
		desc.MediaType = oci.SniffMediaType(data)
	}
	return desc, err
}

func (l *Layout) artifact(ctx context.Context, desc ocispec.Descriptor) (*oci.Artifact, error) {
	data, release, err := l.held(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer release()
	return oci.ArtifactOf(data), nil
}

// held reads a manifest, and has what it takes decoded until release.
func (l *Layout) held(ctx context.Context, desc ocispec.Descriptor) (data []byte, release func(), err error) {
	if data, err = l.files.Manifest(ctx, desc); err != nil {
		return nil, nil, err
	}
	release, err = ipfs.HoldDecoding(ctx, data)
	return data, release, err
}

func (l *Layout) inspectManifest(ctx context.Context, desc ocispec.Descriptor) (InspectedManifest, error) {
	out := InspectedManifest{Digest: desc.Digest, Platform: oci.FormatPlatform(desc.Platform)}
	data, release, err := l.held(ctx, desc)
	if err != nil {
		return out, err
	}
	var m ocispec.Manifest
	err = jsontext.Unmarshal(data, &m)
	release() // the config is read next
	if err != nil {
		return out, fmt.Errorf("%w: manifest %s: %v", oci.ErrCorrupt, desc.Digest, err)
	}
	out.Config, out.Layers = m.Config, m.Layers
	if desc.Platform != nil || !oci.IsImageConfig(m.Config.MediaType) {
		return out, nil
	}
	config, release, err := l.held(ctx, m.Config)
	if err != nil {
		return out, fmt.Errorf("config %s of manifest %s: %w", m.Config.Digest, desc.Digest, err)
	}
	defer release()
	out.Platform = oci.ConfigPlatform(config)
	return out, nil
}
