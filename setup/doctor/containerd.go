package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	dialTimeout = 5 * time.Second
	hubPrefix   = "docker.io/" // what names without a host are completed with
)

// containerd is reached as ctr and nerdctl do it: the client resolves names by
// the hosts.toml files.
type containerd struct {
	address string
	certs   string // directory certs.d
}

func (c *containerd) String() string {
	return "containerd " + c.address + " (certs.d " + c.certs + ")"
}

// Try implements engine. The full name goes by docker.io/hosts.toml; the bare
// one, which only ctr knows, by _default's, if there is one.
func (c *containerd) Try(ctx context.Context, name string, want digest.Digest) (detail string, err error) {
	engine, version, err := dialContainerd(ctx, c.address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	ctx = quiet(ctx)
	resolver := docker.NewResolver(docker.ResolverOptions{
		Hosts: config.ConfigureHosts(ctx, config.HostOptions{HostDir: config.HostDirFromRoot(c.certs)}),
	})
	got, err := fetchAndForget(ctx, engine, resolver, hubPrefix+name)
	if err != nil {
		return "", fmt.Errorf("by %s/docker.io: %w", c.certs, err)
	}
	if got != want {
		return "", errOther(got.String(), want)
	}
	if _, err := os.Stat(filepath.Join(c.certs, "_default")); err != nil {
		return "containerd " + version, nil
	}
	_, desc, err := resolver.Resolve(ctx, name)
	if err != nil {
		return "", fmt.Errorf("by %s/_default: %w", c.certs, err)
	}
	if desc.Digest != want {
		return "", errOther(desc.Digest.String(), want)
	}
	return "containerd " + version, nil
}

// quiet keeps containerd's library from logging to standard error what is
// reported anyway.
func quiet(ctx context.Context) context.Context {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(logger))
}

// dialContainerd connects to a containerd and asks for its version.
func dialContainerd(ctx context.Context, address string) (*client.Client, string, error) {
	c, err := client.New(address, client.WithTimeout(dialTimeout))
	if err != nil {
		return nil, "", err
	}
	v, err := c.Version(ctx)
	if err != nil {
		return nil, "", errors.Join(err, c.Close())
	}
	return c, strings.TrimPrefix(strings.Fields(v.Version + " unknown")[0], "v"), nil
}

// fetchAndForget brings an image into containerd and removes it again, unless
// it was there before. What an end in the middle leaves is under a lease that
// soon expires.
func fetchAndForget(ctx context.Context, c *client.Client, r remotes.Resolver, name string) (got digest.Digest, err error) {
	ctx = namespaces.WithNamespace(ctx, namespaces.Default)
	store := c.ImageService()
	if _, err := store.Get(ctx, name); err == nil {
		_, desc, err := r.Resolve(ctx, name)
		return desc.Digest, err
	} else if !errdefs.IsNotFound(err) {
		return "", err
	}
	leased, done, err := c.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(5*time.Minute))
	if err != nil {
		return "", err
	}
	defer func() {
		ctx, cancel := removal(ctx)
		defer cancel()
		errDone := done(ctx)
		errDelete := store.Delete(ctx, name, images.SynchronousDelete())
		if errdefs.IsNotFound(errDelete) {
			errDelete = nil
		}
		err = errors.Join(err, errDone, errDelete)
	}()
	image, err := c.Fetch(leased, name, client.WithResolver(r))
	return image.Target.Digest, err
}

// Next implements engine.
func (c *containerd) Next(err error, o Options) string {
	if isDenied(err) {
		return "sudo image2ipfs doctor containerd"
	}
	if configured("nerdctl", o) {
		return "see " + c.certs + "/*/hosts.toml and whether this machine reaches the server there; sudo image2ipfs setup containerd shows what is missing"
	}
	return setupCommand("containerd", o)
}

// cri is containerd as the kubelet reaches it.
type cri struct{ containerd }

func (c *cri) String() string { return "containerd " + c.address + " (CRI, as Kubernetes)" }

// Try implements engine.
func (c *cri) Try(ctx context.Context, name string, want digest.Digest) (detail string, err error) {
	engine, version, err := dialContainerd(ctx, c.address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	conn, ok := engine.Conn().(grpc.ClientConnInterface)
	if !ok {
		return "", fmt.Errorf("CRI is %w", errNotServed)
	}
	service := runtimeapi.NewImageServiceClient(conn)
	spec := &runtimeapi.ImageSpec{Image: hubPrefix + name}
	before, err := service.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec})
	if status.Code(err) == codes.Unimplemented {
		return "", fmt.Errorf("CRI is %w", errNotServed)
	}
	if err != nil {
		return "", err
	}
	if before.GetImage() == nil {
		defer func() { err = errors.Join(err, forgetInCRI(ctx, service, spec)) }()
	}
	if _, err := service.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec}); err != nil {
		return "", err
	}
	after, err := service.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec})
	if err != nil {
		return "", err
	}
	digests := after.GetImage().GetRepoDigests()
	for _, d := range digests {
		if strings.HasSuffix(d, "@"+want.String()) {
			return "CRI of containerd " + version, nil
		}
	}
	return "", errOther(strings.Join(digests, ", "), want)
}

func forgetInCRI(ctx context.Context, service runtimeapi.ImageServiceClient, spec *runtimeapi.ImageSpec) error {
	ctx, cancel := removal(ctx)
	defer cancel()
	if _, err := service.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: spec}); err != nil {
		return fmt.Errorf("removing the probe; crictl rmi %s: %w", spec.Image, err)
	}
	return nil
}

// Next implements engine.
func (c *cri) Next(err error, o Options) string {
	switch {
	case isDenied(err):
		return "sudo image2ipfs doctor containerd"
	case configured("containerd", o):
		return "sudo systemctl restart containerd   # config.toml is right; it is read at start"
	}
	return setupCommand("containerd", o) + " && sudo systemctl restart containerd"
}

func isDenied(err error) bool { return strings.Contains(err.Error(), "permission denied") }
