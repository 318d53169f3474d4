package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/setup"
)

// dockerd is reached by its API; host is empty for $DOCKER_HOST or the default.
type dockerd struct {
	host    string
	mirrors []string // that it knows, once it was asked
	answers bool     // it has told something
}

func (d *dockerd) String() string {
	if d.host == "" {
		return "docker"
	}
	return "docker " + d.host
}

func (d *dockerd) dial() (*client.Client, error) {
	if d.host == "" {
		return client.New(client.FromEnv)
	}
	return client.New(client.FromEnv, client.WithHost(d.host))
}

// Try implements engine.
func (d *dockerd) Try(ctx context.Context, name string, want digest.Digest) (detail string, err error) {
	c, err := d.dial()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	info, err := c.Info(ctx, client.InfoOptions{})
	if err != nil {
		return "", err
	}
	d.answers = true
	if r := info.Info.RegistryConfig; r != nil {
		d.mirrors = r.Mirrors
	}
	_, err = c.ImageInspect(ctx, name)
	if err != nil { // not there before, so not there afterwards
		defer func() { err = errors.Join(err, forgetInDocker(ctx, c, name)) }()
	}
	got, err := pullByDocker(ctx, c, name)
	if err != nil {
		return "", err
	}
	if got != want.String() {
		return "", errOther(got, want)
	}
	return fmt.Sprintf("dockerd %s (%s)", info.Info.ServerVersion, info.Info.Driver), nil
}

// pullByDocker pulls a name and gives the digest that dockerd says it has.
func pullByDocker(ctx context.Context, c *client.Client, name string) (got string, err error) {
	messages, err := c.ImagePull(ctx, name, client.ImagePullOptions{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, messages.Close()) }()
	for m, err := range messages.JSONMessages(ctx) {
		if err != nil {
			return "", err
		}
		if m.Error != nil {
			return "", m.Error
		}
		if d, ok := strings.CutPrefix(m.Status, "Digest: "); ok {
			got = d
		}
	}
	return got, nil
}

func forgetInDocker(ctx context.Context, c *client.Client, name string) error {
	ctx, cancel := removal(ctx)
	defer cancel()
	if _, err := c.ImageInspect(ctx, name); err != nil {
		return nil // the pull failed
	}
	if _, err := c.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true}); err != nil {
		return fmt.Errorf("removing the probe; docker rmi %s: %w", name, err)
	}
	return nil
}

// dockerCerts is where dockerd looks for authorities of registries.
const dockerCerts = "/etc/docker/certs.d"

// Next implements engine.
func (d *dockerd) Next(err error, o Options) string {
	known := slices.ContainsFunc(d.mirrors, func(m string) bool { return strings.TrimRight(m, "/") == o.server() })
	text := err.Error()
	switch {
	case errors.Is(err, fs.ErrPermission) || strings.Contains(text, "permission denied"):
		return "sudo image2ipfs doctor docker   # or join the group docker"
	case strings.Contains(text, "Cannot connect") || strings.Contains(text, "failed to connect"):
		return "sudo systemctl start docker   # or leave it out: name the other engines after image2ipfs doctor"
	case errors.Is(err, context.DeadlineExceeded) && !d.answers:
		return "dockerd hangs: see journalctl -u docker, then sudo systemctl restart docker"
	case errors.Is(err, context.DeadlineExceeded) && known:
		return "dockerd answers, its pull does not end: one of its mirrors (" + strings.Join(d.mirrors, ", ") + ") or the way to them hangs; see journalctl -u docker"
	case certificate(err, dockerCerts, o) != "":
		return certificate(err, dockerCerts, o)
	case known && o.untrusted() && authority(dockerCerts, o) != "": // of a mirror's failure dockerd tells nothing
		return authority(dockerCerts, o)
	case known:
		return "its mirrors include " + o.server() + ": see dockerd's log (journalctl -u docker), and whether dockerd reaches that address from where it runs"
	}
	if next := advice("docker", o); next != "" {
		return next
	}
	return "sudo systemctl reload docker   # daemon.json has the mirror, the dockerd at " + d.host + " does not know it; if that is not this machine's own, setup docker --config its daemon.json"
}

func (o Options) server() string {
	if o.Server == "" {
		return setup.DefaultServer
	}
	return strings.TrimRight(o.Server, "/")
}
