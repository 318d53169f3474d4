package layout

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
)

// Line is one name by which an image of a layout is pulled.
type Line struct {
	Pull  ref.Name // without a host
	Name  string   // in the layout, "repository:tag", ":tag" or "repository"; "" where the digest stands in its place
	Image registry.Image
}

// maxRepository is how long a repository may be in a line, in bytes: engines take names
// of 255, in which a host and the root stand before it.
const maxRepository = 128

// Lines gives the names by which the images of a layout are pulled:
//
//	one name in the layout     <root>/repository
//	several names              <root>/repository:tag, one line each
//	one image without a name   <root>
//	else                       <root>/image@sha256:…
//
// Each is there once and means its own image, as [Names.Resolve] answers; where
// a name does not, has no tag or is too long for engines, the image's digest stands in
// its place. Errors
// are those of [Names.Resolve].
func (n *Names) Lines(ctx context.Context) ([]Line, error) {
	images, err := n.Images(ctx)
	if err != nil {
		return nil, err
	}
	w := liner{n: n, ctx: ctx, single: len(images) == 1, taken: map[string]bool{}}
	for _, image := range images {
		if err := w.image(image); err != nil {
			return nil, err
		}
	}
	return w.lines, nil
}

// MovingLines gives the names by which the images of a layout are pulled below a name
// that moves: each by its own, as [Names.Resolve] answers there, those without one by
// their digests. Errors are those of [Names.Lines].
func (n *Names) MovingLines(ctx context.Context, moving string) ([]ref.Name, error) {
	images, err := n.Images(ctx)
	if err != nil {
		return nil, err
	}
	w := liner{n: n, ctx: ctx, moving: moving, taken: map[string]bool{}}
	for _, image := range images {
		if err := w.image(image); err != nil {
			return nil, err
		}
	}
	lines := make([]ref.Name, len(w.lines))
	for i, l := range w.lines {
		lines[i] = l.Pull
	}
	return lines, nil
}

// liner writes the lines of a layout.
type liner struct {
	n      *Names
	ctx    context.Context
	moving string // the name that moves below which the lines are; empty for lines of a root
	single bool   // one image
	taken  map[string]bool
	lines  []Line
}

func (w *liner) image(image registry.Image) error {
	var tagged []oci.ImageName
	repository, name := "", ""
	for _, n := range image.Names {
		if len(n.Repository) > maxRepository {
			continue
		}
		if n.Tag != "" {
			tagged = append(tagged, n)
		} else if name == "" {
			name = n.String()
		}
		repository = cmp.Or(repository, n.Repository)
	}
	before := len(w.lines)
	for _, n := range tagged {
		if err := w.tag(n, image, w.single && len(tagged) == 1); err != nil {
			return err
		}
	}
	if len(w.lines) > before {
		return nil
	}
	pull := ref.Name{Root: w.n.root, Moving: w.moving, Repository: repository}
	if !w.single || len(tagged) > 0 {
		pull.Repository, pull.Digest = cmp.Or(repository, oci.DefaultRepository), image.Descriptor.Digest
	}
	if w.moving != "" { // what a digest means does not change with what is there at the moment
		pull.Repository, pull.Digest = cmp.Or(repository, oci.DefaultRepository), image.Descriptor.Digest
		w.add(Line{pull, name, image})
		return nil
	}
	desc, err := w.n.Resolve(w.ctx, pull)
	if err == nil && desc.Digest != image.Descriptor.Digest {
		err = fmt.Errorf("%w: %s leads to %s instead of %s", oci.ErrManifestInvalid, pull, desc.Digest, image.Descriptor.Digest)
	}
	if err != nil {
		return err
	}
	w.add(Line{pull, name, image})
	return nil
}

// tag writes the line of a name, if that leads to the image; without its tag when
// there is no other to be told from.
func (w *liner) tag(name oci.ImageName, image registry.Image, alone bool) error {
	pull := ref.Name{Root: w.n.root, Moving: w.moving, Repository: name.Repository, Tag: name.Tag}
	switch {
	case alone:
		pull.Tag = ""
	case pull.Repository == "":
		pull.Repository = oci.DefaultRepository
	}
	desc, err := w.n.Resolve(w.ctx, pull)
	switch {
	case err != nil && isPassing(w.ctx, err):
		return err
	case err == nil && desc.Digest == image.Descriptor.Digest:
		w.add(Line{pull, name.String(), image})
	}
	return nil
}

func (w *liner) add(l Line) {
	key := l.Pull.Repository + ":" + l.Pull.Tag + "@" + l.Pull.Digest.String()
	if !w.taken[key] {
		w.taken[key] = true
		w.lines = append(w.lines, l)
	}
}

// Same are names that several entries of index.json have, in the order in which
// these come: each means the first.
type Same struct {
	Name   string
	Images []registry.Image
}

// Same tells which names several images have.
func (n *Names) Same(ctx context.Context) ([]Same, error) {
	all, err := n.images(ctx)
	if err != nil {
		return nil, err
	}
	var same []Same
	seen := map[oci.ImageName]bool{}
	for _, e := range all {
		for _, name := range e.Names {
			key := oci.ImageName{Repository: plain(name.Repository), Tag: name.Tag}
			if seen[key] {
				continue
			}
			seen[key] = true
			s := Same{Name: name.String()}
			for _, other := range n.byName[key] {
				if slices.Contains(all, other) {
					s.Images = append(s.Images, other.Image)
				}
			}
			if len(s.Images) > 1 {
				same = append(same, s)
			}
		}
	}
	return same, nil
}
