package pull

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/trust"
)

// ErrTarget is matched by errors about what was asked for and a target does not
// take, such as several platforms in one docker archive.
var ErrTarget = errors.New("not for this target")

// Wanted says which platforms of an image are asked for. With neither field the
// target chooses: this machine's for what runs images, all for layouts.
type Wanted struct {
	Platforms []ocispec.Platform
	All       bool
	// Signed refuses an image that is not signed as it requires, and leaves out what is
	// neither signed nor reached from what is; nil for nothing.
	Signed *trust.Policy
}

// Choice is what a target takes of the platforms of an image.
type Choice struct {
	// Match picks one manifest of an index; nil for the index as it is.
	Match platforms.MatchComparer
	// Platforms are those that an engine is told to take; its own choice when
	// empty.
	Platforms []ocispec.Platform
}

// Prepare makes the pull of what name means in layout l to a target; its Resolver
// and Progress are the caller's to set. Errors are those of [Select],
// [Image.Require], [trust.ErrUntrusted] and, for a docker archive, [Image.CheckDockerArchive], or match
// [ErrTarget].
func Prepare(ctx context.Context, l *layout.Layout, name ref.Name, to Target, wanted Wanted) (Job, error) {
	choice, err := to.Choose(wanted)
	if err != nil {
		return Job{}, err
	}
	image, err := selectSigned(ctx, l, name, choice.Match, wanted.Signed)
	if err == nil {
		err = image.Require(wanted.Platforms...)
	}
	if a, ok := to.(Archive); ok && a.Docker && err == nil {
		err = image.CheckDockerArchive(ctx)
	}
	if err != nil {
		return Job{}, err
	}
	return Job{Image: image, Platforms: choice.Platforms}, nil
}

// lacking is why an engine has not got the image, if that may be because a layer is
// distributed elsewhere: who has it already, or gets it there, needs none of it from
// here. The error then matches [oci.ErrNotFound].
func (i *Image) lacking(err error) error {
	if err == nil || len(i.Foreign) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s: %w", oci.ErrNotFound, oci.DescribeForeign(i.Foreign[0]), err)
}

// one is the choice of a target that takes one platform of an image.
func (w Wanted) one(to Target) (Choice, error) {
	if w.All {
		return Choice{}, fmt.Errorf("%w: the %s takes one platform: name it with --platform, or pull --to oci-archive:FILE", ErrTarget, to)
	}
	if len(w.Platforms) == 0 {
		return Choice{Match: platforms.Default()}, nil
	}
	return w.layout(to)
}

// layout is the choice of an OCI layout: an index as it is, or one manifest of it.
func (w Wanted) layout(to Target) (Choice, error) {
	switch {
	case w.All || len(w.Platforms) == 0:
		return Choice{}, nil
	case len(w.Platforms) > 1:
		return Choice{}, fmt.Errorf("%w: the %s takes one --platform", ErrTarget, to)
	}
	return Choice{Match: platforms.Only(w.Platforms[0])}, nil
}

// Choose implements [Target].
func (d Directory) Choose(w Wanted) (Choice, error) { return w.layout(d) }

// Choose implements [Target]: docker load takes one platform.
func (a Archive) Choose(w Wanted) (Choice, error) {
	if a.Docker {
		return w.one(a)
	}
	return w.layout(a)
}

// Choose implements [Target]. A dockerd that pulls from here chooses for itself and
// takes one platform; another, or one that is to get several, is sent an archive.
func (d *Docker) Choose(w Wanted) (Choice, error) {
	if !d.far && !w.All && len(w.Platforms) < 2 {
		return Choice{Platforms: w.Platforms}, nil
	}
	return w.one(d)
}

// Choose implements [Target]: containerd takes any number of platforms, and would
// take all where none is named.
func (c *Containerd) Choose(w Wanted) (Choice, error) {
	if len(w.Platforms) == 0 && !w.All {
		return Choice{Platforms: []ocispec.Platform{platforms.DefaultSpec()}}, nil
	}
	return Choice{Platforms: w.Platforms}, nil
}
