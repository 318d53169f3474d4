// Names without a CID go on from the mirror to their registry: each engine is asked for
// one that nobody has, and whom it asked, or its error, tells how far the name went.

package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// errHeld is about an engine whose ordinary names do not get to their registry.
var errHeld = errors.New("ordinary names do not go on from the mirror")

// errGot is about an engine that got an image by a name that nobody has.
var errGot = errors.New("an image came for a name that nobody has")

// onward is how far an ordinary name went in an engine.
type onward struct {
	asked []string // registries behind the server that the engine turned to, as far as that is seen
	all   bool     // there are no others
	hub   bool     // it is sure to turn to docker.io after its mirrors
	err   error    // why the engine has no such image; matches [errGot] when it got one
	limit time.Duration
}

// ordinary asks an engine for a name that nobody has: below library/, which is Docker's
// own, and at random. Errors match [errHeld].
func ordinary(ctx context.Context, o Options, e engine) (detail string, err error) {
	s, err := newStandIn(ctx, o.server())
	if err != nil {
		return "ordinary names not tried: " + oneLine(err), nil
	}
	defer s.Close()
	limit := min(ordinaryTimeout, o.timeout())
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	name := hubPrefix + "library/" + probeName + "-" + strings.ToLower(rand.Text()) + ":latest"
	went := e.Ordinary(limited, name, s)
	went.limit = limit
	if went.err != nil && limited.Err() != nil {
		went.err = limited.Err() // an engine that was cut off says this in many ways
	}
	return went.tell()
}

// tell says it to users.
func (w onward) tell() (string, error) {
	switch {
	case errors.Is(w.err, errGot):
		return "", fmt.Errorf("%w: %w", errHeld, w.err)
	case len(w.asked) > 0:
		return "ordinary names go on to " + strings.Join(w.asked, ", ") + w.unreached(), nil
	case w.all:
		return "", fmt.Errorf("%w: %w", errHeld, w.err)
	case errors.Is(w.err, context.DeadlineExceeded):
		return fmt.Sprintf("ordinary names get no answer within %v: the server gives one at once, so docker.io, or a mirror before it, cannot be reached from here", w.limit), nil
	case denied.MatchString(w.err.Error()):
		return "ordinary names go on to docker.io" + w.unreached(), nil
	}
	if w.hub && strings.HasSuffix(w.err.Error(), ": not found") {
		return "ordinary names go on to docker.io, as always in dockerd, which does not tell whether it gets there", nil
	}
	return "where ordinary names go its error does not tell: " + oneLine(w.err), nil
}

// denied are errors of Docker Hub, and of not getting there: the server asks nobody for a
// password, and answers.
var denied = regexp.MustCompile(`(?i)(registry-1|auth)\.docker\.io|docker\.com|access denied|access to the resource is denied|unauthorized|authentication required|insufficient_scope|authorization failed|toomanyrequests`)

// lost are errors of not getting to a registry.
var lost = regexp.MustCompile(`(?i)no such host|dial tcp|proxyconnect|i/o timeout|unreachable|server misbehaving|no route to host|connection refused|handshake timeout|deadline exceeded|request canceled|x509:`)

// unreached is said of registries that cannot be reached; that is no problem of this
// program's.
func (w onward) unreached() string {
	switch {
	case errors.Is(w.err, context.DeadlineExceeded):
		return fmt.Sprintf(", which does not answer within %v", w.limit)
	case lost.MatchString(w.err.Error()):
		return ", which cannot be reached from here"
	}
	return ""
}

var (
	// mirrorsFailed is what podman says of mirrors in front of what it says of the registry.
	mirrorsFailed = regexp.MustCompile(`\(Mirrors also failed: .*\]\)`)
	// askedLast is how podman names the registry.
	askedLast = regexp.MustCompile(`(?:reading manifest \S+ in |pinging container registry )([^\s/:]+(?::\d+)?)`)
)

// byPodman tells by podman's error which registry it asked last.
func byPodman(err error, server string) onward {
	w := onward{err: err}
	_, host, _ := strings.Cut(server, "://")
	last := askedLast.FindStringSubmatch(mirrorsFailed.ReplaceAllString(err.Error(), ""))
	switch {
	case last == nil:
	case sameHost(last[1], host):
		w.all = true
	default:
		w.asked = last[1:]
	}
	return w
}

// Ordinary implements engine. Dockerd asks its mirrors and then docker.io.
func (d *dockerd) Ordinary(ctx context.Context, name string, _ *standIn) (w onward) {
	c, err := d.dial()
	if err != nil {
		return onward{err: err}
	}
	defer func() { w.err = errors.Join(w.err, c.Close()) }()
	if _, err := pullByDocker(ctx, c, name); err != nil {
		return onward{hub: true, err: err}
	}
	return onward{err: errors.Join(errGot, forgetInDocker(ctx, c, name))}
}

// Beyond implements engine.
func (d *dockerd) Beyond(Options) string {
	return "see its registry-mirrors (" + strings.Join(d.mirrors, ", ") + "): one of them answers for what it does not have"
}

// Ordinary implements engine. The resolver asks as in a pull, and the stand-in answers.
func (c *containerd) Ordinary(ctx context.Context, name string, s *standIn) onward {
	_, _, err := c.resolver(quiet(ctx), s).Resolve(quiet(ctx), name)
	if err == nil {
		err = errGot
	}
	wanted, mirrored := s.seen()
	return onward{asked: wanted, all: mirrored, err: err}
}

// Beyond implements engine.
func (c *containerd) Beyond(Options) string {
	if c.kind == "k3s" || c.kind == "rke2" {
		return c.kind + " writes " + c.certs + "/docker.io/hosts.toml: see disable-default-registry-endpoint among its flags and config.yaml, and its registries.yaml"
	}
	return "in " + c.certs + "/docker.io/hosts.toml take out the line server = …, or write server = \"https://registry-1.docker.io\": it says who is asked after all [host.…]"
}

// Ordinary implements engine. The files say who is asked, since CRI's error does not;
// whether its pull ends the daemon tells.
func (c *cri) Ordinary(ctx context.Context, name string, s *standIn) onward {
	w := c.containerd.Ordinary(ctx, name, s)
	if !errors.Is(w.err, errGot) {
		w.err = c.lacks(ctx, name)
	}
	return w
}

// lacks pulls a name by CRI that nobody has, and says why there is no such image.
func (c *cri) lacks(ctx context.Context, name string) (err error) {
	engine, _, err := dialContainerd(ctx, c.address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	conn, ok := engine.Conn().(grpc.ClientConnInterface)
	if !ok {
		return fmt.Errorf("CRI is %w", errNotServed)
	}
	service, spec := runtimeapi.NewImageServiceClient(conn), &runtimeapi.ImageSpec{Image: name}
	if _, err := service.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec}); err != nil {
		return err
	}
	return errors.Join(errGot, forgetInCRI(ctx, service, spec))
}

// Ordinary implements engine.
func (p *program) Ordinary(ctx context.Context, name string, s *standIn) onward {
	here := *p
	here.environment = s.environment()
	_, err := here.run(ctx, "pull", "--quiet", name)
	wanted, _ := s.seen()
	switch {
	case err == nil:
		return onward{err: errors.Join(errGot, p.forget(ctx, name))}
	case len(wanted) > 0:
		return onward{asked: wanted, err: err}
	case p.kind == "podman":
		return byPodman(err, p.server)
	}
	w := (&containerd{certs: p.certs}).Ordinary(ctx, name, s)
	w.err = err
	return w
}

// Beyond implements engine.
func (p *program) Beyond(Options) string {
	if p.kind != "podman" {
		return (&containerd{kind: p.kind, certs: p.certs}).Beyond(Options{})
	}
	return "see [[registry]] of docker.io in registries.conf: its location has to be docker.io, with the server as a [[registry.mirror]] below it"
}
