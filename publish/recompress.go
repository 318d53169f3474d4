package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
)

// storeConverted stores a layer in our compressed form alone, however it came. One
// that is broken is a fault until something needs it.
func (in *intake) storeConverted(ctx context.Context, it *item, r io.Reader) error {
	hash, note := in.hasher(it)
	pack := in.packer(ctx, it, in.sink)
	converted := func(r io.Reader) error {
		plain, done, err := decompressed(it.media, r)
		if err != nil {
			return err
		}
		defer done()
		return pack(plain)
	}
	err := fanOut(r, hash, func(r io.Reader) error {
		err := converted(r)
		if errors.Is(err, archive.ErrFormat) {
			it.fault, it.packed, err = err, nil, nil
		}
		return err
	})
	diffID := it.diffID // by the packer; that of what is no tar any more is not known
	note()
	it.diffID = diffID
	return err
}

// converter writes the manifests of a layout anew for layers that were
// converted. What refers to the old digests cannot stay.
type converter struct {
	ctx     context.Context
	found   contents
	layers  map[digest.Digest]*item               // by the digest that they had
	done    map[digest.Digest]*ocispec.Descriptor // by the digest that it had; nil for what cannot stay
	pairs   pairs
	dropped []string
}

// convert gives the layout's index with new manifests, which it adds to found.
func (in *intake) convert(ctx context.Context, index ocispec.Index, found contents) (ocispec.Index, error) {
	v := &converter{ctx: ctx, found: found, layers: map[digest.Digest]*item{}, done: map[digest.Digest]*ocispec.Descriptor{}, pairs: in.pairs(found)}
	for _, it := range in.items {
		switch {
		case in.conflicts[it.name] != nil: // claims has why
		case it.packed != nil:
			v.layers[it.digest] = it
			found[it.packed.digest] = content{at: &it.packed.stored}
		case it.fault != nil && it.digest != "":
			found[it.digest] = content{fault: fmt.Errorf("entry %s: %w", it.name, it.fault)}
		}
	}
	var err error
	if index.Manifests, err = v.list(index.Manifests, 0); err != nil {
		return index, err
	}
	in.dropped = v.dropped
	if len(index.Manifests) == 0 {
		return index, fmt.Errorf("%w: nothing is left of it: %s; publish it without --recompress", archive.ErrFormat, strings.Join(v.dropped, "; "))
	}
	return index, nil
}

func (v *converter) list(descs []ocispec.Descriptor, depth int) ([]ocispec.Descriptor, error) {
	kept := []ocispec.Descriptor{}
	for _, desc := range descs {
		converted, err := v.descriptor(desc, depth)
		switch {
		case err != nil || converted == nil:
		case depth == 0:
			var top ocispec.Descriptor
			top, err = v.pairs.top(*converted)
			kept = append(kept, top)
		default:
			kept, err = v.pairs.among(kept, *converted)
		}
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
		}
	}
	return kept, nil
}

// descriptor converts what desc names, each content once; nil when that cannot
// stay.
func (v *converter) descriptor(desc ocispec.Descriptor, depth int) (*ocispec.Descriptor, error) {
	if err := v.ctx.Err(); err != nil {
		return nil, context.Cause(v.ctx)
	}
	if depth > oci.MaxDepth {
		return nil, fmt.Errorf("%w: more than %d levels of indices", oci.ErrCorrupt, oci.MaxDepth)
	}
	if why := desc.Annotations["vnd.docker.reference.type"]; why != "" {
		v.drop(desc, why)
		return nil, nil
	}
	data, ok, err := v.data(desc)
	if !ok || err != nil { // not here: a sparse index
		return &desc, err
	}
	converted, known := v.done[desc.Digest]
	if !known {
		if converted, err = v.manifest(desc, data, depth); err != nil {
			return nil, err
		}
		v.done[desc.Digest] = converted
	}
	if converted == nil {
		return nil, nil
	}
	desc.Data, desc.MediaType, desc.Digest, desc.Size = nil, converted.MediaType, converted.Digest, converted.Size
	return &desc, nil
}

func (v *converter) drop(desc ocispec.Descriptor, why string) {
	v.dropped = append(v.dropped, fmt.Sprintf("%s (%s)", desc.Digest, why))
}

// data is the JSON file that desc names; ok is false when it is not there.
func (v *converter) data(desc ocispec.Descriptor) (data []byte, ok bool, err error) {
	if there, ok := v.found[desc.Digest]; ok {
		if there.fault != nil {
			return nil, true, there.fault
		}
		if there.data == nil {
			return nil, true, fmt.Errorf("%w: not a JSON file", oci.ErrCorrupt)
		}
		return there.data, true, nil
	}
	if desc.Data == nil {
		return nil, false, nil
	}
	if desc.Digest.Validate() != nil || desc.Digest.Algorithm().FromBytes(desc.Data) != desc.Digest {
		return nil, true, fmt.Errorf("%w: the descriptor's data has another digest", oci.ErrCorrupt)
	}
	return desc.Data, true, nil
}

// manifest writes a manifest or index anew and gives its media type, digest and
// size.
func (v *converter) manifest(desc ocispec.Descriptor, data []byte, depth int) (*ocispec.Descriptor, error) {
	var fields map[string]json.RawMessage
	var m ocispec.Manifest
	var list ocispec.Index
	for _, v := range []any{&fields, &m, &list} {
		if err := jsontext.Unmarshal(data, v); err != nil {
			return nil, fmt.Errorf("%w: %v", oci.ErrCorrupt, err)
		}
	}
	if why := attached(desc, m, list); why != "" {
		v.drop(desc, why)
		return nil, nil
	}
	delete(fields, "subject")
	out := &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest}
	changes := map[string]any{}
	var err error
	if list.Manifests != nil {
		out.MediaType = ocispec.MediaTypeImageIndex
		var left []ocispec.Descriptor
		if left, err = v.list(list.Manifests, depth+1); err == nil && len(left) == 0 {
			v.drop(desc, "index of which nothing is left")
			return nil, nil
		}
		changes["manifests"] = left
	} else {
		m.Config.MediaType = ocispec.MediaTypeImageConfig
		changes["config"] = m.Config
		changes["layers"], err = v.imageLayers(m)
	}
	if err != nil {
		return nil, err
	}
	changes["mediaType"] = out.MediaType
	text, err := rewritten(fields, changes)
	if err != nil {
		return nil, err
	}
	out.Digest, out.Size = digest.FromBytes(text), int64(len(text))
	v.found.hold(text)
	return out, nil
}

// attached tells why something cannot outlive a change of digests.
func attached(desc ocispec.Descriptor, m ocispec.Manifest, list ocispec.Index) string {
	switch {
	case desc.ArtifactType != "" || m.ArtifactType != "" || list.ArtifactType != "":
		return "artifact " + desc.ArtifactType + m.ArtifactType + list.ArtifactType
	case oci.ListsNoManifest(list.Manifests):
		return "index that lists no image, as a build cache is"
	case list.Manifests != nil:
		return ""
	case m.Config.Digest == "":
		return "manifest of another kind"
	case !oci.IsImageConfig(m.Config.MediaType):
		return "artifact " + m.Config.MediaType
	}
	for _, l := range m.Layers {
		if !isLayer(l.MediaType) {
			return "artifact with " + l.MediaType
		}
	}
	return ""
}

func isLayer(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.") || strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.")
}

// imageLayers gives the converted layers and checks them against the config.
func (v *converter) imageLayers(m ocispec.Manifest) ([]ocispec.Descriptor, error) {
	config, err := v.found.Manifest(v.ctx, m.Config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	var c ocispec.Image
	if err := jsontext.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("%w: config %s: %v", oci.ErrCorrupt, m.Config.Digest, err)
	}
	layers := slices.Clone(m.Layers)
	for i, l := range layers {
		it := v.layers[l.Digest]
		if it == nil { // missing, which is found out later, or distributed elsewhere
			continue
		}
		if len(c.RootFS.DiffIDs) != len(layers) || c.RootFS.DiffIDs[i] != it.diffID {
			return nil, fmt.Errorf("%w: layer %d: config %s expects other diff_ids than %s, which the layer's content has", dockerarchive.ErrInvalid, i, m.Config.Digest, it.diffID)
		}
		layers[i] = it.packed.descriptor()
		layers[i].Annotations = annotations(l.Annotations, it.packed.index.Annotations())
	}
	return layers, nil
}

// annotations of a layer that was converted: its own, but instead of what is
// said there about an index of the old bytes that of the new ones.
func annotations(old, index map[string]string) map[string]string {
	kept := maps.Clone(old)
	maps.DeleteFunc(kept, func(k, _ string) bool { return layer.IsIndexAnnotation(k) })
	if kept == nil {
		kept = map[string]string{}
	}
	maps.Copy(kept, index)
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// rewritten is a JSON object with some fields changed.
func rewritten(fields map[string]json.RawMessage, changes map[string]any) ([]byte, error) {
	for name, value := range changes {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		fields[name] = data
	}
	return json.Marshal(fields)
}
