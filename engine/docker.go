package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
)

// Docker is a dockerd, or another engine that speaks its API.
type Docker struct {
	Client *client.Client
	Info   system.Info
	Host   string // such as unix:///var/run/docker.sock

	name string
}

var dockerAdvice = advice{
	start:   "systemctl start docker starts it",
	permit:  "join its group (sudo usermod -aG docker $USER, and log in again), or use sudo",
	another: "$DOCKER_HOST or --docker-host",
}

// DialDocker connects to the dockerd at host; empty means $DOCKER_HOST or the
// default. The error matches [ErrNone] when none answers.
func DialDocker(ctx context.Context, host string) (*Docker, error) {
	return dialDocker(ctx, "dockerd", host, dockerAdvice)
}

func dialDocker(ctx context.Context, name, host string, a advice) (*Docker, error) {
	opts := []client.Opt{client.FromEnv}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	c, err := client.New(opts...)
	if err != nil {
		return nil, err
	}
	d := &Docker{Client: c, Host: c.DaemonHost(), name: name}
	if err := reach(ctx, name, d.Host, a); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	info, err := c.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, errors.Join(unreached(name, d.Host, err, a), c.Close())
	}
	d.Info = info.Info
	return d, nil
}

// String names the engine.
func (d *Docker) String() string { return fmt.Sprintf("%s at %s", d.name, d.Host) }

// Close ends the connection.
func (d *Docker) Close() error { return d.Client.Close() }

// IsPodman tells whether it is a podman's service.
func (d *Docker) IsPodman() bool { return d.name == podmanName }

// KeepsLayers tells whether its store is containerd's, which keeps the manifests of
// images and their layers as they came; the classic one keeps the files of layers
// and makes both anew.
func (d *Docker) KeepsLayers() bool {
	return slices.ContainsFunc(d.Info.DriverStatus, func(s [2]string) bool {
		return s[0] == "driver-type" && s[1] == "io.containerd.snapshotter.v1"
	})
}
