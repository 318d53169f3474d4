package page

import (
	"context"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

const (
	// maxInspectedBytes is what may be kept of what is in roots, a quarter of it for one.
	maxInspectedBytes = 64 << 20
	// inspectCost is what reading what is in a root takes beside its manifests.
	inspectCost = 2 << 20
)

// inspected is what is in a root, which never changes.
type inspected struct {
	images    []image
	platforms []string
}

// image is one image of a root.
type image struct {
	Digest    digest.Digest
	Kind      string // what it is where it is no image
	names     []string
	pulls     []ref.Name // by which it is pulled, without a host
	manifests []manifest
	absent    []string
}

// manifest is what is pulled for one platform.
type manifest struct {
	Digest    digest.Digest
	Platform  string
	layers    []layerOf
	config    ocispec.Descriptor
	referrers []ocispec.Descriptor
}

// layerOf is a layer of a manifest.
type layerOf struct {
	ocispec.Descriptor
	Absent bool // it is distributed elsewhere, and not here
}

// Size is what a pull of all layers and the config moves at most.
func (m manifest) Size() (n int64) {
	for _, l := range m.layers {
		n += max(l.Size, 0)
	}
	return n + max(m.config.Size, 0)
}

// cost is about how many bytes of memory it takes.
func (i *inspected) cost() int64 {
	n := int64(1<<10) + textCost(i.platforms...)
	for _, one := range i.images {
		n += textCost(one.names...) + textCost(one.absent...) + 192
		for _, pull := range one.pulls {
			n += 112 + int64(len(pull.Repository)+len(pull.Tag)+len(pull.Digest))
		}
		for _, m := range one.manifests {
			n += descriptorCost(m.config) + descriptorCost(m.referrers...) + 128
			for _, l := range m.layers {
				n += descriptorCost(l.Descriptor) + 8
			}
		}
	}
	return n
}

func textCost(all ...string) (n int64) {
	for _, text := range all {
		n += int64(len(text)) + 16
	}
	return n
}

func descriptorCost(all ...ocispec.Descriptor) (n int64) {
	for _, d := range all {
		n += 200 + int64(len(d.MediaType)+len(d.Digest)+len(d.Data)+len(d.ArtifactType)) + textCost(d.URLs...)
		for key, value := range d.Annotations {
			n += textCost(key, value) + 32
		}
	}
	return n
}

// inspect reads what is in a root, once for all who ask at the same time. Errors are those
// of the store and of reading, of ctx, or match [budget.ErrFull]; see [settled].
func (p *Page) inspect(ctx context.Context, root cid.Cid) (*inspected, error) {
	if _, err := p.cfg.Local.Get(ctx, root); err != nil {
		return nil, err // removed, perhaps
	}
	if known, ok := p.images.Get(root); ok {
		return known, nil
	}
	return p.inspecting.do(ctx, root, func() (*inspected, error) {
		if known, ok := p.images.Get(root); ok {
			return known, nil
		}
		release, err := p.cfg.Memory.Looking.Take(ctx, inspectCost)
		if err != nil {
			return nil, err
		}
		defer release()
		i, err := p.look(ctx, root)
		if err == nil {
			p.images.Put(root, i, i.cost())
		}
		return i, err
	})
}

// begun is what has been read of a root: who asks again goes on where time had ended.
type begun struct {
	layout *layout.Layout
	images []registry.Image
	pulls  map[digest.Digest][]ref.Name
	read   inspected // of the first images
}

// look reads what is in a root. What it has read when time ends is kept for the next.
func (p *Page) look(ctx context.Context, root cid.Cid) (*inspected, error) {
	b, known := p.begun.Get(root)
	if !known {
		var err error
		if b, err = p.begin(ctx, root); err != nil {
			return nil, err
		}
	}
	p.begun.Forget(root)
	for _, image := range b.images[len(b.read.images):] {
		one, err := b.image(ctx, image)
		if err != nil && !settled(err) {
			p.begun.Put(root, b, b.layout.Cost()+b.read.cost())
		}
		if err != nil {
			return nil, err
		}
		b.read.images = append(b.read.images, one)
	}
	platforms := map[string]bool{}
	for _, one := range b.read.images {
		for _, m := range one.manifests {
			platforms[m.Platform] = m.Platform != "" && m.Platform != "unknown/unknown" && m.Platform != everyPlatform
		}
	}
	maps.DeleteFunc(platforms, func(_ string, is bool) bool { return !is })
	b.read.platforms = slices.Sorted(maps.Keys(platforms))
	return &b.read, nil
}

// everyPlatform stands for that of an index, to which something refers.
const everyPlatform = "all"

// begin opens a root and finds out which images it has.
func (p *Page) begin(ctx context.Context, root cid.Cid) (*begun, error) {
	l, err := layout.Open(ctx, p.cfg.Local, root)
	if err != nil {
		return nil, err
	}
	b := &begun{layout: l, pulls: map[digest.Digest][]ref.Name{}}
	if b.images, err = l.Images(ctx); err != nil {
		return nil, err
	}
	lines, err := l.Lines(ctx)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		d := line.Image.Descriptor.Digest
		b.pulls[d] = append(b.pulls[d], line.Pull)
	}
	return b, nil
}

// image reads one of the images.
func (b *begun) image(ctx context.Context, of registry.Image) (image, error) {
	f, err := b.layout.InspectImage(ctx, of)
	if err != nil {
		return image{}, err
	}
	one, err := imageOf(ctx, b.layout, f)
	one.pulls = b.pulls[one.Digest]
	return one, err
}

// imageOf is an image with what refers to it. Errors are those that pass: in a layout that is
// damaged it is not known what refers to what.
func imageOf(ctx context.Context, l *layout.Layout, f layout.InspectedImage) (out image, err error) {
	out = image{Digest: f.Descriptor.Digest, absent: f.Absent}
	for _, n := range f.Names {
		out.names = append(out.names, n.String())
	}
	if f.Artifact != nil {
		out.Kind = f.Artifact.Is
	}
	referrers := func(d digest.Digest) ([]ocispec.Descriptor, error) {
		found, err := l.Referrers(ctx, d)
		if err != nil && settled(err) {
			err = nil
		}
		return found, err
	}
	top := true
	for _, m := range f.Manifests {
		shown := manifest{Digest: m.Digest, Platform: m.Platform, config: m.Config}
		if shown.referrers, err = referrers(m.Digest); err != nil {
			return out, err
		}
		if shown.layers, err = layersOf(ctx, l, m.Layers); err != nil {
			return out, err
		}
		out.manifests = append(out.manifests, shown)
		top = top && m.Digest != f.Descriptor.Digest
	}
	if !top {
		return out, nil
	}
	found, err := referrers(f.Descriptor.Digest)
	if len(found) > 0 {
		out.manifests = append([]manifest{{Digest: f.Descriptor.Digest, Platform: everyPlatform, referrers: found}}, out.manifests...)
	}
	return out, err
}

// layersOf tells of layers which are not here. Only those may be absent that are distributed
// elsewhere (image-spec, "Non-Distributable Layers").
func layersOf(ctx context.Context, l *layout.Layout, all []ocispec.Descriptor) ([]layerOf, error) {
	out := make([]layerOf, len(all))
	for n, desc := range all {
		out[n].Descriptor = desc
		if !oci.IsForeign(desc) {
			continue
		}
		_, err := l.Files().Locate(ctx, desc.Digest)
		if err != nil && !settled(err) {
			return nil, err
		}
		out[n].Absent = err != nil
	}
	return out, nil
}
