package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
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

	"github.com/image2ipfs/image2ipfs/setup"
)

const (
	dialTimeout = 5 * time.Second
	hubPrefix   = "docker.io/" // what names without a host are completed with
)

// containerd is reached as ctr and nerdctl do it: the client resolves names by
// the hosts.toml files.
type containerd struct {
	kind    string // of [setup.Engines]
	address string
	certs   string // directory certs.d
}

func (c *containerd) String() string {
	return c.kind + " " + c.address + " (certs.d " + c.certs + ")"
}

// Try implements engine. The full name goes by docker.io/hosts.toml; the bare
// one, which only ctr knows, by _default's, if there is one.
func (c *containerd) Try(ctx context.Context, name string, want digest.Digest) (detail string, err error) {
	engine, version, err := dialContainerd(ctx, c.address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	if err := c.readable(version); err != nil {
		return "", err
	}
	ctx = quiet(ctx)
	resolver := c.resolver(ctx, nil)
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

// resolver finds names as ctr does; with a stand-in nobody but the server is asked.
func (c *containerd) resolver(ctx context.Context, s *standIn) remotes.Resolver {
	hosts := config.HostOptions{HostDir: config.HostDirFromRoot(c.certs)}
	if s != nil {
		hosts.UpdateClient = func(client *http.Client) error {
			client.Transport = s.instead(client.Transport)
			return nil
		}
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(ctx, hosts)})
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

// errUnreadable is about a hosts.toml that this containerd drops as a whole.
var errUnreadable = errors.New("is not read by this containerd")

// readable looks for what containerd 1 does not read in a hosts.toml: its TOML
// knows no "]" in the name of a table, as IPv6 addresses have it. This program's,
// by which the pull is tried, does.
func (c *containerd) readable(version string) error {
	if !strings.HasPrefix(version, "1.") {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(c.certs, "*", "hosts.toml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for n, line := range strings.Split(string(text), "\n") {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "[host.") && strings.Count(line, "]") > 1 && strings.Contains(line, "//[") {
				return fmt.Errorf("%s, line %d: %s %w (%s): it drops the whole file", file, n+1, line, errUnreadable, version)
			}
		}
	}
	return nil
}

// Next implements engine.
func (c *containerd) Next(err error, o Options) string {
	switch {
	case isDenied(err):
		return "sudo image2ipfs doctor " + c.kind
	case errors.Is(err, errUnreadable):
		return "give the address a name in /etc/hosts and write that there, or image2ipfs setup with such a --server"
	case strings.Contains(err.Error(), "x509:"):
		return "write ca = \"CA.crt\" below the server's [host.…] in " + c.certs + "/docker.io/hosts.toml; CA.crt is the authority that has signed its certificate"
	}
	hosts := c.kind
	if hosts == "containerd" {
		hosts = "nerdctl" // certs.d alone: what CRI is told is CRI's check
	}
	if advice(hosts, o) != "" {
		return advice(c.kind, o)
	}
	if c.kind == "k3s" || c.kind == "rke2" { // which make certs.d of their files
		return c.unread(o)
	}
	return "see " + c.certs + "/*/hosts.toml, and whether this machine reaches the server there; setup has nothing to add"
}

// cri is containerd as the kubelet reaches it.
type cri struct{ containerd }

func (c *cri) String() string { return c.kind + " " + c.address + " (CRI, as Kubernetes)" }

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
		return "", whyNoCRI(ctx, engine)
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

// errCRIFailed is about a CRI that containerd could not load.
var errCRIFailed = errors.New("CRI failed to load")

// whyNoCRI asks containerd why it has no CRI: it could not load it, or it was told
// not to.
func whyNoCRI(ctx context.Context, engine *client.Client) error {
	res, err := engine.IntrospectionService().Plugins(ctx)
	if err != nil {
		return fmt.Errorf("CRI is not there, and containerd does not say why: %w", err)
	}
	for _, p := range res.GetPlugins() {
		failure := p.GetInitErr()
		if p.GetID() != "cri" && !strings.HasPrefix(p.GetType(), "io.containerd.cri.") || failure == nil {
			continue
		}
		if text := failure.GetMessage(); !strings.Contains(text, "skip plugin") {
			return fmt.Errorf("%w: %s", errCRIFailed, text)
		}
	}
	return fmt.Errorf("CRI is %w: it is switched off in containerd's configuration", errNotServed)
}

// Next implements engine.
func (c *cri) Next(err error, o Options) string {
	switch {
	case isDenied(err):
		return "sudo image2ipfs doctor " + c.kind
	case errors.Is(err, errCRIFailed) && strings.Contains(err.Error(), "config_path"):
		return "take out what stands beside config_path (containerd config dump shows it), or image2ipfs setup " + c.kind + " --undo --yes, then sudo systemctl restart containerd"
	case errors.Is(err, errCRIFailed):
		return "see journalctl -u containerd and mend what it names, then sudo systemctl restart containerd"
	}
	if next := advice(c.kind, o); next != "" {
		return next
	}
	return c.unread(o)
}

// unread is what to do where the files are right: containerd reads some of them at its
// start alone.
func (c *containerd) unread(o Options) string {
	restart := setup.Restart(c.kind)
	stale, known := c.stale(o)
	switch {
	case stale:
		return restart + "   # its files are right, and newer than what runs"
	case !known:
		return "if it was started before its files were changed: " + restart + ", or its container; else see containerd config dump | grep config_path, its log, and whether it reaches " + o.server()
	}
	return "it was started with the files that are there: see " + c.certs + "/*/hosts.toml, containerd config dump | grep config_path and its log, and whether it reaches " + o.server()
}

// stale tells whether what runs has not read the files that are there.
func (c *containerd) stale(o Options) (stale, known bool) {
	if c.kind != "k3s" && c.kind != "rke2" {
		return setup.Stale(setup.Options{Engine: c.kind, Root: o.root, HostsDir: o.HostsDir})
	}
	text, err := os.ReadFile(filepath.Join(c.certs, "docker.io", "hosts.toml")) // made at the start
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, false
	}
	return !strings.Contains(string(text), o.server()), true
}

func isDenied(err error) bool { return strings.Contains(err.Error(), "permission denied") }
