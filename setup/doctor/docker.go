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

// Next implements engine.
func (d *dockerd) Next(err error, o Options) string {
	known := slices.ContainsFunc(d.mirrors, func(m string) bool { return strings.TrimRight(m, "/") == o.server() })
	switch {
	case errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "permission denied"):
		return "sudo image2ipfs doctor docker   # or join the group docker"
	case strings.Contains(err.Error(), "Cannot connect") || strings.Contains(err.Error(), "failed to connect"):
		return "sudo systemctl start docker   # or leave it out: name the other engines after image2ipfs doctor"
	case known:
		return "its mirrors include " + o.server() + ": see dockerd's log, and whether dockerd reaches that address from where it runs"
	case configured("docker", o):
		return "sudo systemctl reload docker   # daemon.json has the mirror, dockerd does not know it yet"
	}
	return setupCommand("docker", o) + " && sudo systemctl reload docker"
}

func (o Options) server() string {
	if o.Server == "" {
		return setup.DefaultServer
	}
	return strings.TrimRight(o.Server, "/")
}
