package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/publish"
)

// Options say where engines are, and what is taken of an image.
type Options struct {
	DockerHost string // of dockerd; empty for $DOCKER_HOST or the default
	PodmanHost string // of podman's service; empty for $CONTAINER_HOST or the default
	Containerd string // socket; empty for the default
	Namespace  string // of containerd; empty for the default

	Platforms []ocispec.Platform // all when empty

	// Blocks opens where blocks on IPFS are read from, for ipfs://CID.
	Blocks func(ctx context.Context) (from ipfs.Getter, closeIt func() error, err error)
}

// Source is an opened source. It is published once, and to be closed.
type Source struct {
	// Packed tells that layers are as the engine keeps them, which may be compressed
	// as wholes: a change of one file in them makes most of their bytes new.
	Packed bool

	archive *archive.Archive // nil for images
	saved   *publish.Saved
	images  publish.Images // nil for an archive
	close   func() error   // of images; may be nil
}

// Open opens a source. Errors match [engine.ErrNone] where an engine does not answer,
// [oci.ErrNotFound] for an image that it does not have, and [archive.ErrFormat] for a
// file that is no archive.
func Open(ctx context.Context, s Spec, o Options) (*Source, error) {
	switch s.kind {
	case dockerDaemon, podman:
		return openDocker(ctx, s, o)
	case containerd:
		return openContainerd(ctx, s, o)
	case inRegistry:
		return openRegistry(ctx, s, o)
	case onIPFS:
		return openIPFS(ctx, s, o)
	}
	a, err := archive.OpenContext(ctx, s.rest)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; an image in an engine is published by  image2ipfs publish docker-daemon:%s  (or podman:, containerd:, docker://)", err, s.rest)
	}
	if err != nil {
		return nil, err
	}
	return Of(a), nil
}

// Of is the source that an archive is.
func Of(a *archive.Archive) *Source { return &Source{archive: a} }

// String names the source for humans.
func (s *Source) String() string {
	if s.images != nil {
		return s.images.String()
	}
	return s.archive.String()
}

// Size is how many bytes will be read; -1 when that is not known.
func (s *Source) Size() int64 {
	if s.images != nil {
		return -1
	}
	return s.archive.Size()
}

// Close ends the connection, or closes the file.
func (s *Source) Close() error {
	switch {
	case s.images == nil:
		return s.archive.Close()
	case s.close != nil:
		return s.close()
	}
	return nil
}

// Publish publishes what is in the source, as [publish.Publish] or [publish.From] does.
func (s *Source) Publish(ctx context.Context, to ipfs.Store, o publish.Options) (*publish.Result, error) {
	if s.images != nil {
		return publish.From(ctx, s.images, to, o)
	}
	o.Saved = s.saved
	return publish.Publish(ctx, s.archive, to, o)
}

// ToDirectory writes the same layout to a directory, as [publish.ToDirectory] or
// [publish.FromToDirectory] does.
func (s *Source) ToDirectory(ctx context.Context, dir string, o publish.Options) (*publish.Result, error) {
	if s.images != nil {
		return publish.FromToDirectory(ctx, s.images, dir, o)
	}
	o.Saved = s.saved
	return publish.ToDirectory(ctx, s.archive, dir, o)
}
