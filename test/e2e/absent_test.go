//go:build e2e && linux

// Images that lack a layer, which is distributed elsewhere: no engine is said to
// have one, and none keeps a part of it.

package e2e

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
)

func TestAbsentLayers(t *testing.T) {
	const elsewhere = "http://127.0.0.1:1/base.tar.gz" // where nothing listens
	dir := filepath.Join(t.TempDir(), "layout")
	foreignLayer{
		mediaType: images.MediaTypeDockerSchema2LayerForeignGzip, blob: []byte("absent"), diffID: digest.FromString("absent"), urls: []string{elsewhere},
	}.layout(t, dir)
	p := newProgram(t)
	p.serve(t, freeAddr(t))
	lines, err := p.publish(deadline(t), dir, false, "-r", "host")
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(lines[0], "host/")
	for _, c := range []struct{ engine, target, flag string }{
		{"dockerd20", "docker", "--docker-host=unix://"},
		{"dockerd28", "docker", "--docker-host=unix://"},
		{"containerd16", "containerd", "--containerd-address="},
		{"containerd2", "containerd", "--containerd-address="},
		{"podman", "podman", "--podman-host=unix://"},
		{"podman5", "podman", "--podman-host=unix://"},
	} {
		t.Run(c.engine, func(t *testing.T) {
			on := commandFor(c.engine)
			if on == nil {
				missing(t, c.engine, "not there")
				return
			}
			socketFor := socketOf
			if c.target == "podman" {
				socketFor = func(on command) string { return podmanService(t, on) }
			}
			socket := socketFor(on)
			_, err := p.command().output(deadline(t), "pull", "--quiet", "--to", c.target, c.flag+socket, name)
			var failed *exec.ExitError
			if !errors.As(err, &failed) || failed.ExitCode() != 3 || !strings.Contains(err.Error(), elsewhere) {
				t.Errorf("expected exit 3, not found, and where the layer is; found %v", err)
			}
			list := map[string][]string{"containerd": {"images", "ls", "-q"}}[c.target]
			if list == nil {
				list = []string{"images"}
			}
			if out, err := on.output(deadline(t), list...); err != nil || strings.Contains(out, "foreign") {
				t.Errorf("the engine has images: %s (%v)", out, err)
			}
		})
	}
}
