//go:build e2e && linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// podmanService starts the service of a podman; it ends with the test.
func podmanService(t *testing.T, c command) (socket string) {
	t.Helper()
	inside := "/run/service.sock"
	socket = inside
	if i := slices.Index(c, "chroot"); i >= 0 {
		inside = "/eng/podman5/service.sock"
		socket = filepath.Join(c[i+1], inside)
	}
	_ = os.Remove(socket)
	argv := append(slices.Clone(c), "system", "service", "--time=0", "unix://"+inside)
	s := start(t, argv, filepath.Join(t.TempDir(), "service.log"), process.Listens(&net.Dialer{}, "unix", socket))
	t.Cleanup(s.Kill)
	return socket
}

// loadArchive brings an archive into an engine, and gives what that says. The
// caller takes away what later pulls would find and are to bring.
func loadArchive(t *testing.T, c command, archive string, args ...string) (said string, err error) {
	t.Helper()
	in, err := os.Open(archivePath(t, archive))
	if err != nil {
		return "", err
	}
	defer in.Close()
	var out strings.Builder
	err = c.pipe(deadline(t), in, &out, args...)
	return strings.TrimSpace(out.String()), err
}

// removeAfter takes an image away when the test ends.
func removeAfter(t *testing.T, e engine, name string) {
	t.Cleanup(func() {
		if err := e.Remove(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
}

// Images of engines are published without a file in between: the same root as from
// the archive that the engine saves, and the same layers again from another engine.
func TestEngineSources(t *testing.T) {
	load, importing := []string{"load", "--quiet"}, []string{"images", "import", "--all-platforms", "-"}
	for _, c := range []struct {
		engine, kind, flag, archive, name string
		bring                             []string
		same                              bool // the root is that of the archive
	}{
		{"dockerd20", "docker-daemon", "--docker-host=unix://", "small.docker20.tar", "small:1", load, true},
		{"dockerd28", "docker-daemon", "--docker-host=unix://", "platforms.buildkit.tar", "platforms:1", load, true},
		{"podman", "podman", "--podman-host=unix://", "small.docker20.tar", "small:1", load, false},
		{"podman5", "podman", "--podman-host=unix://", "small.docker20.tar", "small:1", load, false},
		{"containerd16", "containerd", "--containerd-address=", "platforms.buildkit.tar", "platforms:1", importing, true},
		{"containerd2", "containerd", "--containerd-address=", "platforms.buildkit.tar", "platforms:1", importing, true},
	} {
		t.Run(c.engine, func(t *testing.T) {
			on := commandFor(c.engine)
			if on == nil {
				missing(t, c.engine, "not there")
				return
			}
			if _, err := loadArchive(t, on, c.archive, c.bring...); err != nil {
				t.Fatal(err)
			}
			if c.engine != "dockerd20" { // where later pulls would find what they are to bring
				removeAfter(t, newEngine(t, c.engine, on), map[string]string{"podman": "localhost/", "containerd": "docker.io/library/"}[c.kind]+c.name)
			}
			socketFor := socketOf
			if c.kind == "podman" {
				socketFor = func(on command) string { return podmanService(t, on) }
			}
			socket := socketFor(on)
			p := newProgram(t)
			fromFile, err := p.publish(deadline(t), archivePath(t, c.archive), false)
			if err != nil {
				t.Fatal(err)
			}
			out, err := p.command().output(deadline(t), "publish", "--json", c.flag+socket, c.kind+":"+c.name)
			if err != nil {
				t.Fatal(err)
			}
			var said struct {
				NewBytes int64
				Images   []struct{ PullName string }
			}
			if err := json.Unmarshal([]byte(out), &said); err != nil || len(said.Images) != 1 {
				t.Fatalf("%q: %v", out, err)
			}
			if same := said.Images[0].PullName == fromFile[0]; same != c.same || said.NewBytes > 8<<10 {
				t.Errorf("%s, with %d new bytes; from its archive %s", said.Images[0].PullName, said.NewBytes, fromFile[0])
			}
			if _, err := p.command().output(deadline(t), "verify", said.Images[0].PullName); err != nil {
				t.Error(err)
			}
			_, err = p.command().output(deadline(t), "publish", c.flag+socket, c.kind+":"+strings.Replace(c.name, ":1", ":2", 1))
			if err == nil || !strings.Contains(fmt.Sprint(err), "is it "+map[string]string{"podman": "localhost/"}[c.kind]+c.name) {
				t.Errorf("a name that is not there: %v", err)
			}
			results.progress("%s: %s is a source", c.engine, c.name)
		})
	}
}
