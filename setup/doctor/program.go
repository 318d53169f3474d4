package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// program is podman or nerdctl, run as its users do.
type program struct {
	kind    string
	command []string // with the arguments that all its uses share
	server  string   // URL of the server
	certs   string   // certs.d, for nerdctl

	environment []string // in place of this process's
}

func (p *program) String() string { return p.kind }

// Try implements engine. Podman looks for a name without a host wherever its
// unqualified-search-registries lead; with docker.io/ in front it goes by what setup
// has written.
func (p *program) Try(ctx context.Context, name string, want digest.Digest) (detail string, err error) {
	version, err := p.run(ctx, "--version")
	if err != nil {
		return "", err
	}
	full := hubPrefix + name
	if _, err := p.run(ctx, "image", "inspect", full); err != nil { // not there before
		defer func() { err = errors.Join(err, p.forget(ctx, full)) }()
	}
	if _, err := p.run(ctx, "pull", "--quiet", name); err != nil {
		if p.kind != "podman" {
			return "", err
		}
		if _, failed := p.run(ctx, "pull", "--quiet", full); failed != nil {
			return "", err
		}
		version += ", with docker.io/ in front (unqualified-search-registries leads elsewhere),"
	}
	digests, err := p.run(ctx, "image", "inspect", "--format", "{{json .RepoDigests}}", full)
	if err != nil {
		return "", err
	}
	if !strings.Contains(digests, "@"+want.String()+`"`) {
		return "", errOther(digests, want)
	}
	return version, nil
}

// forget removes the image, if a pull got so far.
func (p *program) forget(ctx context.Context, name string) error {
	ctx, cancel := removal(ctx)
	defer cancel()
	if _, err := p.run(ctx, "image", "inspect", name); err != nil {
		return nil
	}
	if _, err := p.run(ctx, "rmi", name); err != nil {
		return fmt.Errorf("removing the probe: %w", err)
	}
	return nil
}

// run gives the standard output; the error holds the end of what was written to
// standard error.
func (p *program) run(ctx context.Context, args ...string) (string, error) {
	argv := append(append([]string{}, p.command...), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay, cmd.Env = &out, &complaint, 5*time.Second, p.environment
	err := cmd.Run()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", p.kind, args[0], err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// Next implements engine.
func (p *program) Next(err error, o Options) string {
	if next := certificate(err, "/etc/containers/certs.d", o); next != "" && p.kind == "podman" {
		return next
	}
	if next := advice(p.kind, o); next != "" {
		return next
	}
	return "its configuration has the server; try by hand: " + strings.Join(p.command, " ") + " --log-level debug pull docker.io/ciq…/app"
}
