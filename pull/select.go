// Package pull brings images that are published on IPFS into container
// engines, OCI layouts and docker archives, every byte checked on the way.
package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/trust"
)

// Image is what of a published layout is to be pulled.
type Image struct {
	Name      ref.Name             // as it was asked for
	Target    ocispec.Descriptor   // manifest or index; empty when the whole layout is meant
	Blobs     []ocispec.Descriptor // all contents, each once
	Platforms []string             // of what is complete, as "linux/amd64"
	Absent    []string             // what is named and the layout lacks, as [oci.Reachable] has it
	Foreign   []ocispec.Descriptor // layers that are distributed elsewhere and that the layout lacks

	layout    *layout.Layout
	index     ocispec.Index
	indexJSON []byte         // of the layout, when all of it is pulled
	verdict   *trust.Verdict // nil when nothing has to be signed
	several   error          // why no engine can take it: nothing names one of several images
}

// Select finds what name means in layout l, as [layout.Names.Resolve] does.
// Without a platform all platforms are pulled, and a name alone of a root means
// everything in the layout. With one, the best match (containerd's rules) of an
// index is taken. Errors match [oci.ErrNotFound] and list what there is, or those
// of the layout.
func Select(ctx context.Context, l *layout.Layout, name ref.Name, platform platforms.MatchComparer) (*Image, error) {
	return selectSigned(ctx, l, name, platform, nil)
}

func selectSigned(ctx context.Context, l *layout.Layout, name ref.Name, platform platforms.MatchComparer, policy *trust.Policy) (*Image, error) {
	i := &Image{Name: name, layout: l, index: l.Files().Index, indexJSON: l.Files().IndexJSON}
	target, err := l.Resolve(ctx, name)
	isPlain := name.Repository == "" && name.Tag == "" && name.Digest == ""
	if err == nil || isPlain {
		if refused := i.examine(ctx, policy, target.Digest); refused != nil {
			return nil, refused
		}
	}
	switch {
	case isPlain && platform == nil:
		i.Target, i.several = target, err
		if err != nil && len(i.index.Manifests) > 0 {
			i.Target = i.index.Manifests[0]
		}
		err = nil // all of the layout is pulled, whatever a name alone means
	case isPlain && errors.Is(err, oci.ErrNameUnknown):
		i.several = err
		err = i.chooseAll(ctx, platform)
	case err == nil && platform == nil && i.isAll(ctx, target):
		i.Target = target
	case err == nil:
		err = i.choose(ctx, target, platform)
	}
	if err != nil {
		return nil, err
	}
	if err := i.requireSigned(ctx); err != nil {
		return nil, err
	}
	i.nameAfter(target)
	var renamed bool
	if i.index.Manifests, renamed = oci.Familiar(i.index.Manifests); renamed {
		i.indexJSON = nil // whoever published it
	}
	needed, err := l.Reachable(ctx, i.index.Manifests...)
	if err != nil {
		return nil, err
	}
	i.Blobs, i.Platforms, i.Absent, i.Foreign = needed.Blobs, needed.Platforms, needed.Absent, needed.Foreign
	return i, nil
}

// nameAfter has what was asked for by a name that moves alone called as the layout calls
// it: below such a name nothing else means it.
func (i *Image) nameAfter(target ocispec.Descriptor) {
	if i.Name.Moving == "" || !i.Name.Plain() {
		return
	}
	entry, _ := i.layout.Entry(target.Digest)
	for _, n := range entry.Names {
		if n.Tag != "" {
			i.Name.Repository, i.Name.Tag = n.Repository, n.Tag
			return
		}
	}
}

// choose makes the image the one that was resolved, or its manifest for a
// platform.
func (i *Image) choose(ctx context.Context, resolved ocispec.Descriptor, platform platforms.MatchComparer) error {
	target, err := i.chosen(ctx, resolved, platform)
	if err != nil {
		return err
	}
	i.Target, i.indexJSON = target, nil
	i.index = oci.NewIndex(i.named(target, resolved))
	return nil
}

// chooseAll makes the image all that are in the layout, each for a platform.
func (i *Image) chooseAll(ctx context.Context, platform platforms.MatchComparer) error {
	images, err := i.layout.Images(ctx)
	if err != nil {
		return err
	}
	var all []ocispec.Descriptor
	for _, image := range images {
		target, err := i.chosen(ctx, image.Descriptor, platform)
		if err != nil {
			return err
		}
		all = append(all, i.named(target, image.Descriptor)...)
	}
	i.Target, i.indexJSON, i.index = all[0], nil, oci.NewIndex(all)
	return nil
}

// chosen is what was resolved, with the platform that index.json says, or its manifest
// for a platform.
func (i *Image) chosen(ctx context.Context, resolved ocispec.Descriptor, platform platforms.MatchComparer) (ocispec.Descriptor, error) {
	target := ocispec.Descriptor{MediaType: resolved.MediaType, Digest: resolved.Digest, Size: resolved.Size}
	if entry, listed := i.layout.Entry(resolved.Digest); listed {
		target.Platform = entry.Descriptor.Platform
	}
	if platform == nil {
		return target, nil
	}
	if i.verdict != nil { // what is asked for is signed, and not just what it leads to
		if err := i.verdict.Check(resolved.Digest); err != nil {
			return target, err
		}
	}
	return i.onPlatform(ctx, target, platform)
}

// Several says why no engine can take the image: nothing names one of the several
// that are in the layout. The error matches [oci.ErrNameUnknown]; it is nil where
// one is named.
func (i *Image) Several() error { return i.several }

// Require refuses an image that is for none of the platforms asked for, where
// it says what it is for. The error matches [oci.ErrNotFound].
func (i *Image) Require(wanted ...ocispec.Platform) error {
	if len(i.Platforms) == 0 {
		return nil
	}
	for _, w := range wanted {
		fits := slices.ContainsFunc(i.Platforms, func(text string) bool {
			p, err := platforms.Parse(text)
			return err == nil && platforms.Only(w).Match(p)
		})
		if !fits {
			return fmt.Errorf("%w: no image for %s under %s, which has %s", oci.ErrNotFound, platforms.Format(w), ref.Ciq(i.Name.Root), oci.Quoted(strings.Join(i.Platforms, ", ")))
		}
	}
	return nil
}

// isAll tells whether the layout is pulled as it is, since there is nothing in it to
// choose from but what was resolved by a name: no other image, and no other name of that.
// Where it cannot be told at the moment, the image was chosen.
func (i *Image) isAll(ctx context.Context, resolved ocispec.Descriptor) bool {
	if i.Name.Digest != "" || oci.IsReferrerTag(i.Name.Tag) {
		return false
	}
	images, err := i.layout.Images(ctx)
	if err != nil || len(images) != 1 || images[0].Descriptor.Digest != resolved.Digest {
		return false
	}
	asked := 0
	for _, l := range i.layout.Listings(resolved.Digest, i.Name.Repository, i.Name.Tag) {
		asked += len(l.Names)
	}
	return asked == 0 || asked == len(images[0].Names)
}

// onPlatform descends from an index to the manifest that suits best.
func (i *Image) onPlatform(ctx context.Context, desc ocispec.Descriptor, want platforms.MatchComparer) (ocispec.Descriptor, error) {
	if !oci.IsIndex(desc.MediaType) {
		return desc, nil
	}
	w := &imageWalk{i: i, ctx: ctx, seen: map[digest.Digest]bool{}}
	err := w.index(desc, 0)
	all := w.found
	if err != nil {
		return desc, err
	}
	var best *ocispec.Descriptor
	var there []string
	for _, m := range all {
		there = append(there, platforms.Format(*m.Platform))
		if want.Match(*m.Platform) && (best == nil || want.Less(*m.Platform, *best.Platform)) {
			best = &m
		}
	}
	if best == nil {
		if err := i.refuseArtifact(ctx, desc, "which is for no platform"); err != nil {
			return desc, err
		}
		if len(there) == 0 {
			return desc, fmt.Errorf("%w: index %s lists no image: pull --to oci:DIR or oci-archive:FILE takes it as it is", oci.ErrNotFound, desc.Digest)
		}
		return desc, fmt.Errorf("%w: no image for the platform asked for in %s, which has %s", oci.ErrNotFound, desc.Digest, oci.Quoted(strings.Join(there, ", ")))
	}
	return *best, nil
}

// imageWalk lists the images below an index that are for a platform: the one that an
// index states, else the one of their config.
type imageWalk struct {
	i     *Image
	ctx   context.Context
	seen  map[digest.Digest]bool // what was read; of what is listed again all is known
	limit oci.WalkLimit
	found []ocispec.Descriptor
}

func (w *imageWalk) index(desc ocispec.Descriptor, depth int) error {
	if w.seen[desc.Digest] {
		return nil
	}
	w.seen[desc.Digest] = true
	data, err := w.i.layout.Files().Manifest(w.ctx, desc)
	if err == nil {
		err = w.limit.Read(desc, int64(len(data)))
	}
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := jsontext.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("%w: index %s: %v", oci.ErrCorrupt, desc.Digest, err)
	}
	for _, m := range index.Manifests {
		if err := w.limit.Enter(m, depth+1); err != nil {
			return err
		}
		if oci.IsIndex(m.MediaType) {
			err := w.index(m, depth+1)
			if err != nil && !errors.Is(err, ipfs.ErrNotFound) { // indices may be sparse
				return err
			}
			continue
		}
		if m.Platform == nil && !w.seen[m.Digest] {
			w.seen[m.Digest] = true
			if err = w.limit.Read(m, m.Size); err == nil {
				m.Platform, err = w.i.configPlatform(w.ctx, m)
			}
			if err != nil {
				return err
			}
		}
		if m.Platform != nil && m.Platform.OS != "unknown" { // as attestations have it
			w.found = append(w.found, m)
		}
	}
	return nil
}

// configPlatform is the platform that the config of an image states; nil when
// it states none or is not there.
func (i *Image) configPlatform(ctx context.Context, desc ocispec.Descriptor) (*ocispec.Platform, error) {
	found, err := i.layout.Reachable(ctx, desc)
	if errors.Is(err, oci.ErrNotFound) {
		return nil, nil
	}
	if err != nil || len(found.Platforms) == 0 {
		return nil, err
	}
	p, err := platforms.Parse(found.Platforms[0])
	return &p, err
}

// named gives the top-level descriptor of a pulled image its names: those that it has in
// the layout as far as they were asked for, else the one that was asked for. What was
// asked for by its digest alone has no tag.
func (i *Image) named(target, resolved ocispec.Descriptor) (all []ocispec.Descriptor) {
	name := i.Name
	for _, l := range i.layout.Listings(resolved.Digest, name.Repository, name.Tag) {
		own := l.Names[0]
		if own.Repository == "" && name.Repository != "" {
			own.Repository = name.Repository
		}
		named := target
		if named.Annotations = l.Descriptor.Annotations; !l.Exact() || own != l.Names[0] {
			named = oci.Named(named, own.String())
		}
		all = append(all, named)
	}
	switch {
	case len(all) > 0:
		return all
	case name.Repository == "":
		return []ocispec.Descriptor{target}
	case name.Tag == "" && name.Digest != "":
		return []ocispec.Descriptor{oci.Named(target, name.Repository+"@"+target.Digest.String())}
	}
	return []ocispec.Descriptor{oci.Named(target, name.Repository+":"+cmp.Or(name.Tag, oci.DefaultTag))}
}

// Size is the number of bytes in all contents.
func (i *Image) Size() int64 {
	var size int64
	for _, b := range i.Blobs {
		size += b.Size
	}
	return size
}

// EngineName is the name under which engines get the image, such as
// "ciq…/app:1". What was asked for by its digest alone has the first digits of
// that as its tag.
func (i *Image) EngineName() string {
	n := ref.Name{Root: i.Name.Root, Moving: i.Name.Moving, Repository: i.Name.Repository, Tag: i.Name.Tag}
	if n.Tag == "" {
		n.Tag = oci.DefaultTag
		if i.Name.Digest != "" {
			n.Tag = i.Name.Digest.Encoded()[:12]
		}
	}
	return n.String()
}

// forEngine is the image under its EngineName.
func (i *Image) forEngine() *Image {
	renamed := *i
	renamed.indexJSON = nil
	renamed.index = oci.NewIndex([]ocispec.Descriptor{oci.Named(i.Target, i.EngineName())})
	return &renamed
}
