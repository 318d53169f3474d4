// Package pull brings images that are published on IPFS into container
// engines, OCI layouts and docker archives, every byte checked on the way.
package pull

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/layout"
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
	indexJSON []byte // of the layout, when all of it is pulled
	several   error  // why no engine can take it: nothing names one of several images
}

// Select finds what name means in layout l, as [layout.Names.Resolve] does.
// Without a platform all platforms are pulled, and a name alone of a root means
// everything in the layout. With one, the best match (containerd's rules) of an
// index is taken. Errors match [oci.ErrNotFound] and list what there is, or those
// of the layout.
func Select(ctx context.Context, l *layout.Layout, name ref.Name, platform platforms.MatchComparer) (*Image, error) {
	i := &Image{Name: name, layout: l, index: l.Files().Index, indexJSON: l.Files().IndexJSON}
	target, err := l.Resolve(ctx, name)
	whole, wholeErr := i.wholeLayout(ctx, platform)
	switch {
	case wholeErr != nil:
		return nil, wholeErr
	case whole && name.Repository == "" && name.Tag == "":
		i.Target, i.several = target, err
		if err != nil && len(i.index.Manifests) > 0 {
			i.Target = i.index.Manifests[0]
		}
	case err != nil:
		return nil, err
	case whole:
		i.Target = target
	default:
		if err := i.choose(ctx, target, platform); err != nil {
			return nil, err
		}
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
func (i *Image) choose(ctx context.Context, resolved ocispec.Descriptor, platform platforms.MatchComparer) (err error) {
	target := resolved
	entry, listed := i.layout.Entry(resolved.Digest)
	if listed {
		target.Platform = entry.Descriptor.Platform
	}
	if platform != nil {
		if target, err = i.onPlatform(ctx, target, platform); err != nil {
			return err
		}
	}
	i.Target, i.indexJSON = target, nil
	i.index = oci.NewIndex([]ocispec.Descriptor{named(target, entry, i.Name)})
	return nil
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

// wholeLayout tells whether the layout is pulled as it is: on request, or
// because there is nothing in it to choose from.
func (i *Image) wholeLayout(ctx context.Context, platform platforms.MatchComparer) (bool, error) {
	n := i.Name
	if platform != nil || n.Digest != "" || oci.IsReferrerTag(n.Tag) {
		return false, nil
	}
	if n.Repository == "" && n.Tag == "" {
		return true, nil
	}
	images, err := i.layout.Images(ctx)
	return len(images) == 1, err
}

// onPlatform descends from an index to the manifest that suits best.
func (i *Image) onPlatform(ctx context.Context, desc ocispec.Descriptor, want platforms.MatchComparer) (ocispec.Descriptor, error) {
	if !oci.IsIndex(desc.MediaType) {
		return desc, nil
	}
	all, err := i.candidates(ctx, desc, 0)
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

// candidates lists the images below an index that are for a platform: the one
// that an index states, else the one of their config.
func (i *Image) candidates(ctx context.Context, desc ocispec.Descriptor, depth int) ([]ocispec.Descriptor, error) {
	if depth > oci.MaxDepth {
		return nil, fmt.Errorf("%w: index %s: more than %d levels", oci.ErrCorrupt, desc.Digest, oci.MaxDepth)
	}
	data, err := i.layout.Files().Manifest(ctx, desc)
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%w: index %s: %v", oci.ErrCorrupt, desc.Digest, err)
	}
	var all []ocispec.Descriptor
	for _, m := range index.Manifests {
		if oci.IsIndex(m.MediaType) {
			below, err := i.candidates(ctx, m, depth+1)
			if err != nil && !errors.Is(err, ipfs.ErrNotFound) { // indices may be sparse
				return nil, err
			}
			all = append(all, below...)
			continue
		}
		if m.Platform == nil {
			if m.Platform, err = i.configPlatform(ctx, m); err != nil {
				return nil, err
			}
		}
		if m.Platform != nil && m.Platform.OS != "unknown" { // as attestations have it
			all = append(all, m)
		}
	}
	return all, nil
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

// named gives the top-level descriptor of a pulled image its name: the one that
// it has in the layout, unless another was asked for. What was asked for by its
// digest alone has no tag.
func named(desc ocispec.Descriptor, entry registry.Image, name ref.Name) ocispec.Descriptor {
	for _, own := range entry.Names {
		if (name.Repository == "" || own.Repository == name.Repository) && (name.Tag == "" || own.Tag == name.Tag) {
			desc.Annotations = entry.Descriptor.Annotations
			return desc
		}
	}
	switch {
	case name.Repository == "":
		return desc
	case name.Tag == "" && name.Digest != "":
		return oci.Named(desc, name.Repository+"@"+desc.Digest.String())
	}
	return oci.Named(desc, name.Repository+":"+cmp.Or(name.Tag, oci.DefaultTag))
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
