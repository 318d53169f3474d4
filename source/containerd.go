package source

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/client"

	images "github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/engine"
	"github.com/image2ipfs/image2ipfs/oci"
)

// withClose is a stream with another end.
type withClose struct {
	io.Reader
	close func() error
}

func (w withClose) Close() error { return w.close() }

// openContainerd has containerd's client write an image's layout, which is read as it
// comes. Of platforms that containerd has in part, the manifest alone is there.
func openContainerd(ctx context.Context, s Spec, o Options) (_ *Source, err error) {
	c, err := engine.DialContainerd(ctx, o.Containerd, o.Namespace)
	if err != nil {
		return nil, err
	}
	name, err := findInContainerd(ctx, c, s.rest)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	match := platforms.All
	if len(o.Platforms) > 0 {
		match = platforms.Any(o.Platforms...)
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := c.Export(ctx, w, images.WithImage(c.ImageService(), name), images.WithPlatform(match),
			images.WithSkipNonDistributableBlobs(), images.WithSkipMissing(c.ContentStore()))
		if errdefs.IsNotFound(err) {
			err = fmt.Errorf("%w: containerd has not all of %s: pull it again, with --all-platforms where all are meant: %w", oci.ErrNotFound, name, err)
		}
		w.CloseWithError(err)
	}()
	end := func() error {
		cancel()
		closed := r.Close()
		<-done
		return errors.Join(closed, c.Close())
	}
	return &Source{Packed: true, archive: archive.Stream(s.String(), withClose{r, end})}, nil
}

// findInContainerd finds an image by the name that it has, or as nerdctl and docker
// spell it. The error matches [oci.ErrNotFound], and names some that are like it.
func findInContainerd(ctx context.Context, c *client.Client, asked string) (string, error) {
	names := []string{asked}
	if full, err := reference.ParseDockerRef(asked); err == nil && full.String() != asked {
		names = append(names, full.String())
	}
	for _, name := range names {
		_, err := c.ImageService().Get(ctx, name)
		if err == nil {
			return name, nil
		}
		if !errdefs.IsNotFound(err) {
			return "", fmt.Errorf("containerd: looking for image %s: %w", name, err)
		}
	}
	all, err := c.ImageService().List(ctx)
	if err != nil {
		return "", fmt.Errorf("containerd: listing its images: %w", err)
	}
	var have []string
	for _, i := range all {
		have = append(have, i.Name)
	}
	err = unknownImage("containerd, namespace "+c.DefaultNamespace()+",", asked, have)
	if spaces := otherNamespaces(ctx, c, names); spaces != "" {
		err = fmt.Errorf("%w; namespace %s has it: --namespace", err, spaces)
	}
	return "", err
}

// otherNamespaces is one in which there is an image of one of these names; empty
// where there is none.
func otherNamespaces(ctx context.Context, c *client.Client, names []string) string {
	spaces, err := c.NamespaceService().List(ctx)
	if err != nil { // a hint and no more
		return ""
	}
	for _, space := range spaces {
		for _, name := range names {
			if _, err := c.ImageService().Get(namespaces.WithNamespace(ctx, space), name); err == nil {
				return space
			}
		}
	}
	return ""
}
