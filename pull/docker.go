package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/server"
)

// Docker is a dockerd, of either image store.
type Docker struct {
	client *client.Client
	host   string
}

// DialDocker connects to the dockerd at host, such as
// unix:///var/run/docker.sock; empty means $DOCKER_HOST or the default. The
// error matches [ipfs.ErrUnavailable] when none answers.
func DialDocker(ctx context.Context, host string) (*Docker, error) {
	opts := []client.Opt{client.FromEnv}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	c, err := client.New(opts...)
	if err != nil {
		return nil, err
	}
	d := &Docker{client: c, host: c.DaemonHost()}
	if _, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: no dockerd answers at %s: %w", errNoEngine, d.host, err), c.Close())
	}
	return d, nil
}

var errNoEngine = fmt.Errorf("%w: container engine", ipfs.ErrUnavailable)

// String names the engine.
func (d *Docker) String() string { return "dockerd at " + d.host }

// Close ends the connection.
func (d *Docker) Close() error { return d.client.Close() }

// Pull brings the image into dockerd under its [Image.EngineName]. A dockerd on
// this machine pulls from a registry that serves the job's blocks on loopback
// meanwhile, and so fetches only layers that it lacks; another one gets the
// whole image sent.
func (d *Docker) Pull(ctx context.Context, j Job) (name string, err error) {
	if strings.HasPrefix(d.host, "unix://") || strings.HasPrefix(d.host, "npipe://") {
		return j.Image.EngineName(), d.pullFromHere(ctx, j)
	}
	return j.Image.EngineName(), d.load(ctx, j.Image, j.Progress)
}

func (d *Docker) pullFromHere(ctx context.Context, j Job) (err error) {
	registry, err := server.New(server.Config{Local: j.Blocks, LocalAhead: ahead, Open: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- registry.Serve(serving, listener) }()
	defer func() {
		stop()
		err = errors.Join(err, <-served, registry.Close())
	}()
	name := j.Image.EngineName()
	here := listener.Addr().String() + "/" + name
	if err := d.pull(ctx, here, j.Platforms, j.Progress); err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	if _, err := d.client.ImageTag(ctx, client.ImageTagOptions{Source: here, Target: name}); err != nil {
		return fmt.Errorf("%s: naming the image %s: %w", d, name, err)
	}
	_, err = d.client.ImageRemove(ctx, here, client.ImageRemoveOptions{})
	return err
}

const downloading = "Downloading" // what dockerd says of a layer that is arriving

// pull has dockerd pull a name and waits for the end.
func (d *Docker) pull(ctx context.Context, name string, wanted []ocispec.Platform, p Progress) (err error) {
	messages, err := d.client.ImagePull(ctx, name, client.ImagePullOptions{Platforms: wanted})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, messages.Close()) }()
	arrived := map[string]int64{} // bytes of each layer
	for m, err := range messages.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if m.Error != nil {
			return m.Error
		}
		if m.Progress == nil {
			p.tell(strings.TrimPrefix(m.ID+": "+m.Status, ": "))
		} else if m.Status == downloading {
			p.add(m.Progress.Current - arrived[m.ID])
			arrived[m.ID] = m.Progress.Current
		}
	}
	return nil
}

// load sends the image as an archive.
func (d *Docker) load(ctx context.Context, i *Image, p Progress) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(i.ToTar(ctx, w, p)) }()
	return d.Load(ctx, r)
}

// Load sends an archive to dockerd, as docker load does.
func (d *Docker) Load(ctx context.Context, archive io.ReadCloser) error {
	res, err := d.client.ImageLoad(ctx, archive)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", d, err), archive.Close())
	}
	_, err = io.Copy(io.Discard, res)
	return errors.Join(err, res.Close(), archive.Close())
}
