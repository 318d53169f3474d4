package publish

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/oci"
)

// An image whose layers are zstd:chunked has two manifests for each platform, of
// the same config and layers, in one index: the first tells stargz-snapshotter of
// the layers' indices, the second podman, which refuses a layer that tells both.
// Engines take the first for their platform, unless they know the annotation that
// the second's descriptor has. containerd's transfer service takes all for its
// platform, so the second asks for a feature (image-spec, image-index.md,
// "os.features") that it does not have, and podman does not look at.
const (
	annotationZstd = "io.github.containers.compression.zstd"
	featureChunked = "zstd-chunked"
)

// pairs makes second manifests.
type pairs struct {
	found   contents
	chunked map[digest.Digest]map[string]string // annotations for podman, by layer
}

func (in *intake) pairs(found contents) pairs {
	p := pairs{found, map[digest.Digest]map[string]string{}}
	for _, it := range in.items {
		if it.packed == nil {
			continue
		}
		if a := it.packed.index.Chunked(); a != nil {
			p.chunked[it.packed.digest] = a
		}
	}
	return p
}

// of gives the descriptors of a manifest, that of its pair included; the manifest
// alone where it has none, as its layers have no index or it is for no platform.
func (p pairs) of(first ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	alone := []ocispec.Descriptor{first}
	text := p.found[first.Digest].data
	if !oci.IsManifest(first.MediaType) || text == nil || len(p.chunked) == 0 {
		return alone, nil
	}
	var fields map[string]json.RawMessage
	var m ocispec.Manifest
	for _, v := range []any{&fields, &m} {
		if err := jsontext.Unmarshal(text, v); err != nil {
			return nil, fmt.Errorf("%w: manifest %s: %v", oci.ErrCorrupt, first.Digest, err)
		}
	}
	tells := false
	for i, l := range m.Layers {
		if a := p.chunked[l.Digest]; a != nil {
			m.Layers[i].Annotations = annotations(l.Annotations, a)
			tells = true
		}
	}
	if first.Platform == nil {
		first.Platform = p.platform(m.Config.Digest)
	}
	if !tells || first.Platform == nil {
		return alone, nil
	}
	text, err := rewritten(fields, map[string]any{"layers": m.Layers})
	if err != nil {
		return nil, err
	}
	p.found.hold(text)
	second := ocispec.Descriptor{
		MediaType: first.MediaType, Digest: digest.FromBytes(text), Size: int64(len(text)), Platform: withFeature(*first.Platform),
		Annotations: map[string]string{annotationZstd: "true"},
	}
	return []ocispec.Descriptor{first, second}, nil
}

// platform is that of a config; nil for what states none.
func (p pairs) platform(config digest.Digest) *ocispec.Platform {
	text := oci.ConfigPlatform(p.found[config].data)
	if text == "" {
		return nil
	}
	platform, err := platforms.Parse(text)
	if err != nil {
		return nil
	}
	return &platform
}

// top gives what stands for a manifest in index.json: an index of its pair.
func (p pairs) top(first ocispec.Descriptor) (ocispec.Descriptor, error) {
	inner := first
	inner.Annotations = nil // names belong to the whole
	both, err := p.of(inner)
	if err != nil || len(both) == 1 {
		return first, err
	}
	text, err := json.Marshal(oci.NewIndex(both))
	if err != nil {
		return first, err
	}
	p.found.hold(text)
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(text), Size: int64(len(text)), Annotations: first.Annotations,
	}, nil
}

// among adds a manifest of an index, with its pair. The pairs that the index had
// have become one manifest each.
func (p pairs) among(kept []ocispec.Descriptor, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if _, second := desc.Annotations[annotationZstd]; second {
		desc.Annotations = annotationsWithout(desc.Annotations, annotationZstd)
		desc.Platform = withoutFeature(desc.Platform)
		if slices.ContainsFunc(kept, func(k ocispec.Descriptor) bool { return k.Digest == desc.Digest }) {
			return kept, nil
		}
	}
	both, err := p.of(desc)
	return append(kept, both...), err
}

func annotationsWithout(a map[string]string, name string) map[string]string {
	without := map[string]string{}
	for k, v := range a {
		if k != name {
			without[k] = v
		}
	}
	if len(without) == 0 {
		return nil
	}
	return without
}

// withFeature is a platform that asks for featureChunked, too.
func withFeature(p ocispec.Platform) *ocispec.Platform {
	p.OSFeatures = append(slices.Clone(p.OSFeatures), featureChunked)
	slices.Sort(p.OSFeatures)
	return &p
}

// withoutFeature is a platform, nil for none, that does not ask for featureChunked.
func withoutFeature(p *ocispec.Platform) *ocispec.Platform {
	if p == nil || !slices.Contains(p.OSFeatures, featureChunked) {
		return p
	}
	without := *p
	without.OSFeatures = nil
	for _, feature := range p.OSFeatures {
		if feature != featureChunked {
			without.OSFeatures = append(without.OSFeatures, feature)
		}
	}
	return &without
}
