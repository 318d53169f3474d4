// Package doctor finds out whether everything between a published image and
// the container engines of this machine works: the store, the server, IPFS
// gateways, and each engine's configuration, by really pulling a tiny image
// through it. Nothing stays behind in an engine.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/setup"
)

// Statuses of a check.
const (
	OK      = "ok"
	Problem = "problem"
	Skipped = "skipped" // because of another check's problem
	Absent  = "absent"  // not there, and nobody has asked for it
)

// Check is the outcome of looking at one thing.
type Check struct {
	Name   string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"` // what to do about a problem, if possible a command
}

// Options say what is examined. The zero value means what is found here.
type Options struct {
	Server     string        // URL of the server as engines reach it
	Engines    []string      // kinds to look for, of [setup.Engines]; all when empty
	Docker     []string      // hosts of dockerds
	Containerd []string      // sockets of containerds
	HostsDir   string        // certs.d of containerd
	Podman     []string      // command and arguments to run podman by
	Nerdctl    []string      // command and arguments to run nerdctl by
	Timeout    time.Duration // of each check, a minute when 0

	root string // directory that is seen as this machine's /, whose processes are not looked at then
}

// setup is how setup is asked about an engine of this machine.
func (o Options) setup(kind string) setup.Options {
	return setup.Options{Engine: kind, Server: o.Server, Root: o.root, HostsDir: o.HostsDir, Rootless: setup.Rootless(kind)}
}

// cleanup is how long it may take to remove the probe from an engine.
const cleanup = 30 * time.Second

// timeout is the limit of one check.
func (o Options) timeout() time.Duration {
	if o.Timeout > 0 {
		return o.Timeout
	}
	return time.Minute
}

// asked tells whether engines of a kind are examined, and whether they were
// named, so that it is a problem when there is none.
func (o Options) asked(kind string) (asked, named bool) {
	named = slices.Contains(o.Engines, kind)
	return named || len(o.Engines) == 0, named
}

// engine is a container engine with one way into its configuration.
type engine interface {
	// String names the engine and the way.
	String() string
	// Try pulls name, compares its digest, and removes it unless it was there
	// before. Detail says what the engine is.
	Try(ctx context.Context, name string, want digest.Digest) (detail string, err error)
	// Next says what to do about an error of Try; it is never what was done
	// already.
	Next(err error, o Options) string
	// Ordinary pulls a name of docker.io that nobody has, with a stand-in for
	// registries where the engine can be led to one.
	Ordinary(ctx context.Context, name string, s *standIn) onward
	// Beyond says what to do where such names do not get past the server.
	Beyond(o Options) string
}

// Engines pulls the probe through every engine that is found or was asked for
// and reports each. Without a probe, whose lack was reported already, they are
// skipped.
func Engines(ctx context.Context, o Options, probe *Probe, report func(Check)) {
	if asked, named := o.asked("stargz"); asked {
		if c := lazily(ctx, o); c.Status != Absent || named {
			report(c)
		}
	}
	found, missing := find(o)
	for _, kind := range missing {
		report(Check{Name: kind, Status: Problem, Detail: "not found on this machine", Next: "install or start it, or leave it out: image2ipfs doctor"})
	}
	for _, e := range found {
		if ctx.Err() != nil {
			return
		}
		c := Check{Name: e.String(), Status: Skipped, Detail: "not tried: the server has to work first"}
		if probe != nil {
			c = try(ctx, o, e, probe)
		}
		report(c)
	}
	if len(found) == 0 && len(missing) == 0 && !slices.Contains(o.Engines, "stargz") {
		report(Check{Name: "engines", Status: Absent, Detail: "none found on this machine"})
	}
}

func try(ctx context.Context, o Options, e engine, probe *Probe) Check {
	limited, cancel := context.WithTimeout(ctx, o.timeout())
	defer cancel()
	began := time.Now()
	detail, err := e.Try(limited, probe.Name(), probe.Digest)
	switch {
	case errors.Is(err, errNotServed):
		return Check{Name: e.String(), Status: Absent, Detail: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %v: %w", o.timeout(), err)
	}
	if err != nil {
		return Check{Name: e.String(), Status: Problem, Detail: oneLine(err), Next: sentAway(err, probe, e.Next(err, o))}
	}
	by := ""
	if probe.elsewhere != "" {
		by = ", blobs from " + probe.elsewhere
	}
	detail = fmt.Sprintf("%s pulls ciq… names%s, %v", detail, by, time.Since(began).Round(time.Millisecond))
	onward, err := ordinary(ctx, o, e)
	if err != nil {
		return Check{Name: e.String(), Status: Problem, Detail: detail + "; " + oneLine(err), Next: e.Beyond(o)}
	}
	return Check{Name: e.String(), Status: OK, Detail: detail + "; " + onward}
}

// sentAway is what to do when an engine does not get to where the server sends it for
// blobs, though this machine does; next for other errors.
func sentAway(err error, probe *Probe, next string) string {
	u, failed := url.Parse(probe.elsewhere)
	if failed != nil || u.Host == "" || !strings.Contains(err.Error(), u.Host) {
		return next
	}
	return "serve with --no-redirect, or with a --gateway that the engine reaches from where it runs: it does not get blobs from " + probe.elsewhere
}

// errNotServed is matched by errors about ways in that an engine does not have.
var errNotServed = errors.New("not served here")

// errOther is about an engine that got something else than the probe.
func errOther(got string, want digest.Digest) error {
	return fmt.Errorf("got %s instead of %s: another server answers for docker.io", got, want)
}

// setupCommand is the command that configures an engine, with the flags that
// this doctor was called with.
func setupCommand(kind string, o Options) string {
	command := "image2ipfs setup " + kind + " --yes"
	if o.Server != "" && o.Server != setup.DefaultServer {
		command += " --server " + o.Server
	}
	if o.HostsDir != "" && kind != "docker" && kind != "podman" {
		command += " --hosts-dir " + o.HostsDir
	}
	if os.Geteuid() == 0 || setup.Rootless(kind) {
		return command
	}
	return "sudo " + command
}

// advice is what setup has to do for an engine on this machine: its command, or
// why it refuses. It is empty when the files have what setup puts there.
func advice(kind string, o Options) string {
	plan, err := setup.New(o.setup(kind))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "sudo image2ipfs doctor " + kind
	case err != nil:
		return "by hand, since setup cannot: " + oneLine(err)
	case len(plan.Changes) == 0:
		return ""
	}
	commands := []string{setupCommand(kind, o)}
	for _, next := range plan.Next {
		step, _, _ := strings.Cut(next, "   #")
		commands = append(commands, step)
	}
	return strings.Join(commands, " && ")
}

// certificate says how an engine is told of the authority that has signed the
// server's certificate; empty for other errors.
func certificate(err error, dir string, o Options) string {
	text := err.Error()
	if !strings.Contains(text, "x509:") && !strings.Contains(text, "certificate signed by unknown authority") {
		return ""
	}
	return authority(dir, o)
}

// authority is the command by which an engine is told of the server's authority; empty
// where it was.
func authority(dir string, o Options) string {
	u, err := url.Parse(o.server())
	if err != nil {
		return ""
	}
	file := path.Join(dir, u.Host, "ca.crt")
	if _, err := os.Stat(file); err == nil {
		return ""
	}
	return "sudo install -D CA.crt " + file + "   # CA.crt is the authority that has signed the server's certificate"
}

// untrusted tells whether this machine does not know who has signed the server's
// certificate.
func (o Options) untrusted() bool {
	_, _, err := health(context.Background(), http.DefaultClient, o.server())
	return isUntrusted(err)
}

// oneLine makes an error's text one line of readable length.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 600 {
		text = text[:300] + " … " + text[len(text)-300:]
	}
	return text
}

// removal is a context in which the probe is removed, also after an interrupt.
func removal(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanup)
}
