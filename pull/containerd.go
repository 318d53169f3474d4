package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/engine"
)

// ContainerdOptions say which containerd is meant and how images lie in it.
type ContainerdOptions struct {
	Address     string // socket; [engine.DefaultContainerd] when empty
	Namespace   string // [engine.DefaultNamespace] when empty; Kubernetes uses k8s.io
	Snapshotter string // containerd's default when empty
}

// Containerd is a containerd.
type Containerd struct {
	client *client.Client
	opts   ContainerdOptions
}

// DialContainerd connects to a containerd. The error matches
// [ErrNoEngine] when none answers.
func DialContainerd(ctx context.Context, opts ContainerdOptions) (*Containerd, error) {
	opts.Address = cmp.Or(opts.Address, engine.DefaultContainerd)
	opts.Namespace = cmp.Or(opts.Namespace, engine.DefaultNamespace)
	c, err := engine.DialContainerd(ctx, opts.Address, opts.Namespace)
	if err != nil {
		return nil, err
	}
	return &Containerd{client: c, opts: opts}, nil
}

// String names the engine.
func (c *Containerd) String() string {
	return fmt.Sprintf("containerd at %s, namespace %s", c.opts.Address, c.opts.Namespace)
}

// Close ends the connection.
func (c *Containerd) Close() error { return c.client.Close() }

// Pull fetches the image through the job's resolver into containerd's content
// store and unpacks it for this machine's platform. Content that is there is
// not fetched again, content that is there in part is completed. The image gets
// the name that nerdctl and ctr find it by, docker.io/[Image.EngineName].
func (c *Containerd) Pull(ctx context.Context, j Job) (name string, err error) {
	if err := j.Image.Several(); err != nil {
		return "", err
	}
	ctx = namespaces.WithNamespace(ctx, c.opts.Namespace)
	full, err := reference.ParseDockerRef(j.Image.EngineName())
	if err != nil {
		return "", fmt.Errorf("naming the image: %w", err)
	}
	ctx, done, err := c.client.WithLease(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, done(context.WithoutCancel(ctx))) }()
	opts := []client.RemoteOpt{
		client.WithResolver(j.Resolver),
		client.WithImageHandler(images.HandlerFunc(func(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			j.Progress.content(desc, false)
			return nil, nil
		})),
	}
	for _, p := range j.Platforms {
		opts = append(opts, client.WithPlatform(platforms.Format(p)))
	}
	fetched, err := c.client.Fetch(ctx, j.Image.Name.String(), opts...)
	if err != nil {
		return "", j.Image.lacking(fmt.Errorf("%s: %w", c, err))
	}
	before := fetched.Name
	defer func() { // the name that it was fetched by
		if before != full.String() {
			err = errors.Join(err, c.client.ImageService().Delete(context.WithoutCancel(ctx), before))
		}
	}()
	if err := c.unpack(ctx, client.NewImage(c.client, fetched)); err != nil {
		return "", fmt.Errorf("%s: unpacking: %w", c, err)
	}
	fetched.Name = full.String()
	return fetched.Name, c.keep(ctx, fetched)
}

// unpack makes snapshots of the layers, when the image has any for this
// machine's platform.
func (c *Containerd) unpack(ctx context.Context, image client.Image) error {
	ok, err := image.IsUnpacked(ctx, c.opts.Snapshotter)
	if errdefs.IsNotFound(err) {
		return nil // another platform's image
	}
	if err != nil || ok {
		return err
	}
	return image.Unpack(ctx, c.opts.Snapshotter)
}

// keep gives an image a name.
func (c *Containerd) keep(ctx context.Context, image images.Image) error {
	store := c.client.ImageService()
	_, err := store.Create(ctx, image)
	if errdefs.IsAlreadyExists(err) {
		_, err = store.Update(ctx, image)
	}
	return err
}
