package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/engine"
	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Docker is a dockerd, of either image store, or a podman by the API that it shares
// with that.
type Docker struct {
	client *client.Client
	name   string // with its address, for humans
	far    bool
	prefix string // of the name of an image that is sent
}

// DialDocker connects to the dockerd at host, such as
// unix:///var/run/docker.sock; empty means $DOCKER_HOST or the default. The
// error matches [ErrNoEngine] when none answers.
func DialDocker(ctx context.Context, host string) (*Docker, error) {
	e, err := engine.DialDocker(ctx, host)
	if err != nil {
		return nil, err
	}
	d := &Docker{client: e.Client, name: e.String()}
	d.far = !strings.HasPrefix(e.Host, "unix://") && !strings.HasPrefix(e.Host, "npipe://") ||
		slices.Contains(e.Info.SecurityOptions, "name=rootless") || e.Info.OperatingSystem == "Docker Desktop"
	if !d.far {
		d.far = !d.reachesHere(ctx)
	}
	return d, nil
}

// DialPodman connects to a podman's service, by host as [engine.DialPodman] has it. It
// gets a whole image of one platform sent. The error matches [ErrNoEngine].
func DialPodman(ctx context.Context, host string) (*Docker, error) {
	e, err := engine.DialPodman(ctx, host)
	if err != nil {
		return nil, err
	}
	return &Docker{client: e.Client, name: e.String(), far: true, prefix: "docker.io/"}, nil
}

// reachTimeout is far more than dockerd needs to reach its own loopback.
const reachTimeout = 5 * time.Second

// reachesHere has dockerd look for an image at a port of this loopback and sees
// whether it comes: its socket may be mounted into a container, or be forwarded
// from another machine or network namespace, and nothing that dockerd says of
// itself tells.
func (d *Docker) reachesHere(ctx context.Context) bool {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return false
	}
	var came atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			came.Store(true)
			_ = c.Close() // it has come; there is nothing to send
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	_, _ = d.client.DistributionInspect(ctx, listener.Addr().String()+"/image2ipfs", client.DistributionInspectOptions{}) // fails either way
	_ = listener.Close()
	<-done
	return came.Load()
}

// Far tells whether this machine's loopback is not the one of dockerd, because
// that runs elsewhere, in a virtual machine, in another network namespace or
// without root, which is found out by trying: it then gets a whole image of one
// platform sent.
func (d *Docker) Far() bool { return d.far }

// String names the engine.
func (d *Docker) String() string { return d.name }

// Close ends the connection.
func (d *Docker) Close() error { return d.client.Close() }

// Pull brings the image into dockerd under its [Image.EngineName]. Unless it is
// [Docker.Far] it pulls from a registry that serves the job's blocks on loopback
// meanwhile, and so fetches only layers that it lacks.
func (d *Docker) Pull(ctx context.Context, j Job) (name string, err error) {
	if err := j.Image.Several(); err != nil {
		return "", err
	}
	if d.far {
		if err := j.Image.CheckDockerArchive(ctx); err != nil {
			return "", err
		}
		archive := j.Image.forEngine()
		err = d.Load(ctx, func(w io.Writer) error { return archive.ToTar(ctx, w, j.Progress) })
	} else {
		err = d.pullFromHere(ctx, j)
	}
	return d.prefix + j.Image.EngineName(), err
}

func (d *Docker) pullFromHere(ctx context.Context, j Job) (err error) {
	registry, err := serveLoopback(ctx, j.Image.layout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, registry.Close()) }()
	name := j.Image.EngineName()
	here := registry.addr + "/" + name
	if j.Image.Name.Digest != "" { // that image alone, whatever has the tag
		repository, _, _ := ref.CutTag(here)
		here = repository + "@" + j.Image.Name.Digest.String()
	}
	defer func() {
		_, gone := d.client.ImageRemove(context.WithoutCancel(ctx), here, client.ImageRemoveOptions{})
		if !errdefs.IsNotFound(gone) { // which it is when the pull failed
			err = errors.Join(err, gone)
		}
	}()
	if err := d.pull(ctx, here, j.Platforms, j.Progress); err != nil {
		return j.Image.lacking(fmt.Errorf("%s: %w", d, err))
	}
	if _, err := d.client.ImageTag(ctx, client.ImageTagOptions{Source: here, Target: name}); err != nil {
		return fmt.Errorf("%s: naming the image %s: %w", d, name, err)
	}
	return nil
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
		if m.Progress == nil && m.ID != "" { // the rest is about a name that goes away
			p.tell(strings.TrimPrefix(m.ID+": "+m.Status, ": "))
		} else if m.Progress != nil && m.Status == downloading {
			p.add(m.Progress.Current - arrived[m.ID])
			arrived[m.ID] = m.Progress.Current
		}
	}
	return nil
}

// Load sends the archive that write writes to dockerd, as docker load does.
func (d *Docker) Load(ctx context.Context, write func(io.Writer) error) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := write(w)
		w.CloseWithError(err)
		written <- err
	}()
	err := d.load(ctx, r)
	r.CloseWithError(errUnread)
	if failed := <-written; failed != nil && !errors.Is(failed, errUnread) {
		err = failed // the cause
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	return nil
}

var errUnread = errors.New("dockerd reads no further")

func (d *Docker) load(ctx context.Context, archive io.Reader) (err error) {
	res, err := d.client.ImageLoad(ctx, archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Close()) }()
	for messages := json.NewDecoder(res); ; {
		var m jsonstream.Message
		if err := messages.Decode(&m); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading what it says of the load: %w", jsontext.Fault(err))
		}
		if m.Error != nil { // in spite of status 200
			return m.Error
		}
		if strings.HasPrefix(m.Stream, "Error unpacking") { // all that a dockerd with the containerd store says of it
			return errors.New(strings.TrimSpace(m.Stream))
		}
	}
}
