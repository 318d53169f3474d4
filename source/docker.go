package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/engine"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/publish"
)

// openDocker has a dockerd or podman save an image, whose archive is read as it comes.
func openDocker(ctx context.Context, s Spec, o Options) (_ *Source, err error) {
	dial, host := engine.DialDocker, o.DockerHost
	if s.kind == podman {
		dial, host = engine.DialPodman, o.PodmanHost
	}
	e, err := dial(ctx, host)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	name, image, err := inspect(ctx, e, s.rest)
	if err != nil {
		return nil, err
	}
	source := &Source{Packed: e.KeepsLayers()}
	var opts []client.ImageSaveOption
	if source.Packed && len(o.Platforms) > 0 {
		opts = append(opts, client.ImageSaveWithPlatforms(o.Platforms...))
	}
	if !source.Packed {
		if err := onePlatform(e, s.rest, image, o.Platforms); err != nil {
			return nil, err
		}
		source.saved = &publish.Saved{}
		for _, l := range image.RootFS.Layers {
			source.saved.DiffIDs = append(source.saved.DiffIDs, digest.Digest(l))
		}
	}
	stream, err := e.Client.ImageSave(ctx, []string{name}, opts...)
	if err != nil {
		return nil, saveError(e, s.rest, o.Platforms, err)
	}
	source.archive = archive.Stream(s.String(), withClose{stream, func() error { return errors.Join(stream.Close(), e.Close()) }})
	return source, nil
}

// inspect finds an image by the name that people know it by, and gives the one that
// the engine's API takes. The error matches [oci.ErrNotFound], and names some that are
// like it.
func inspect(ctx context.Context, e *engine.Docker, asked string) (name string, image client.ImageInspectResult, err error) {
	names := []string{asked}
	if e.IsPodman() { // whose API takes a short name for one of Docker Hub, and its command for one's own
		names = append(names, "localhost/"+asked)
	}
	for _, name := range names {
		image, err = e.Client.ImageInspect(ctx, name)
		if err == nil {
			return name, image, nil
		}
		if !errdefs.IsNotFound(err) {
			return "", image, fmt.Errorf("%s: %w", e, err)
		}
	}
	all, err := e.Client.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return "", image, fmt.Errorf("%s: listing its images: %w", e, err)
	}
	var have []string
	for _, i := range all.Items {
		have = append(have, i.RepoTags...)
	}
	return "", image, unknownImage(e.String(), asked, have)
}

// onePlatform refuses another platform than that of an image of which the engine has
// but one. The error matches [oci.ErrNotFound].
func onePlatform(e *engine.Docker, name string, image client.ImageInspectResult, wanted []ocispec.Platform) error {
	has := platforms.Normalize(ocispec.Platform{OS: image.Os, Architecture: image.Architecture, Variant: image.Variant})
	if len(wanted) == 0 || slices.ContainsFunc(wanted, func(w ocispec.Platform) bool { return platforms.Only(w).Match(has) }) {
		return nil
	}
	return fmt.Errorf("%w: %s has %s for %s alone, as its store keeps one platform of an image", oci.ErrNotFound, e, name, platforms.Format(has))
}

// saveError says what a failed save means.
func saveError(e *engine.Docker, name string, wanted []ocispec.Platform, err error) error {
	if errdefs.IsNotFound(err) && len(wanted) > 0 {
		texts := make([]string, len(wanted))
		for i, p := range wanted {
			texts[i] = platforms.Format(p)
		}
		return fmt.Errorf("%w: %s has no %s for %s: docker image ls --tree shows what is there: %w", oci.ErrNotFound, e, name, strings.Join(texts, ", "), err)
	}
	return fmt.Errorf("%s: saving %s: %w", e, name, err)
}
