//go:build e2e

// `image2ipfs pull` and the resolver library bring images into engines with no
// registry in between, from gateways that nobody trusts.

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// native is the mode of these pulls, for the table.
var native = mode{letter: "N", name: "image2ipfs pull, blocks from a gateway"}

// far is a machine that published an archive and serves it as an IPFS gateway.
type far struct {
	archive archive
	name    string // ciq…/repository
	gateway string // URL
	want    image
}

// publishFar publishes an archive in a store of its own and serves it.
func publishFar(t *testing.T, file string) far {
	t.Helper()
	i := slices.IndexFunc(archives, func(a archive) bool { return a.file == file })
	f := far{archive: archives[i]}
	p := newProgram(t)
	addr := freeAddr(t)
	p.serve(t, addr)
	lines, err := p.publish(deadline(t), archivePath(t, file), false, "-r", addr)
	if err != nil {
		t.Fatal(err)
	}
	src, err := readSource(archivePath(t, file))
	if err != nil {
		t.Fatal(err)
	}
	if f.want, err = src.find(f.archive.names[0], host); err != nil {
		t.Fatal(err)
	}
	f.name, f.gateway = strings.TrimPrefix(lines[0], addr+"/"), "http://"+addr
	if f.want.Digests == nil {
		f.want.Digests = []string{manifestDigest(t, f)}
	}
	return f
}

// manifestDigest asks the far machine's registry.
func manifestDigest(t *testing.T, f far) string {
	t.Helper()
	resp, err := http.Head(f.gateway + "/v2/" + f.name + "/manifests/latest")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header.Get("Docker-Content-Digest")
}

// TestNativePull pulls from a gateway into every engine that has an API, runs
// what arrived, and pulls again, which must fetch nothing.
func TestNativePull(t *testing.T) {
	engines := findEngines(t)
	for _, file := range []string{"big.docker20.tar", "small.docker28.tar", "platforms.buildkit.tar", "small.skopeo-zstd"} {
		f := publishFar(t, file)
		for _, name := range []string{"dockerd20", "dockerd28", "containerd16", "containerd2"} {
			e, ok := engines[name]
			if !ok || f.archive.unless[name] != "" || file == "big.docker20.tar" && someOf(engines)[name] == nil {
				continue
			}
			ok = t.Run(name+"/"+file, func(t *testing.T) { pullNatively(t, f, name, e) })
			results.pulled(native, name, file, ok)
		}
	}
}

func pullNatively(t *testing.T, f far, name string, e engine) {
	p := newProgram(t)
	meter := &meter{}
	meter.limit.Store(1 << 40)
	counted := httptest.NewServer(meter.before(t, f.gateway))
	defer counted.Close()
	args := append([]string{"pull", "--quiet", "--gateway", counted.URL}, targetOf(name)...)
	for again := range 2 {
		meter.sent.Store(0)
		arrived, err := p.command().output(deadline(t), append(args, f.name)...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := held(deadline(t), e, arrived)
		if err != nil {
			t.Fatal(err)
		}
		compareHeld(t, got, f.want)
		text, err := e.Cat(deadline(t), arrived, "/etc/message")
		if want := message(f.archive.names[0]); err != nil || text != want {
			t.Errorf("/etc/message: expected %q, found %q (%v)", want, text, err)
		}
		if sent := meter.sent.Load(); again > 0 && sent > 256<<10 {
			t.Errorf("%d bytes were fetched for an image that the engine has", sent)
		}
		f.name = arrived[strings.Index(arrived, "ciq"):]
	}
	arrived, err := p.command().output(deadline(t), append(args, f.name)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(deadline(t), arrived); err != nil {
		t.Error(err)
	}
}

// compareHeld is compare, but for dockerd's own name of an image, whose
// repository digest may be gone with the name it was pulled by.
func compareHeld(t *testing.T, got, want image) {
	t.Helper()
	if len(got.Digests) == 0 {
		got.Digests = want.Digests
	}
	compare(t, host, got, want)
}

// held asks an engine what it has under a name, without a pull.
func held(ctx context.Context, e engine, ref string) (image, error) {
	switch e := e.(type) {
	case dockerd:
		return inspect(ctx, e.docker, ref)
	case containerd:
		target, err := e.target(ctx, ref)
		if err != nil {
			return image{}, err
		}
		blobs := func(digest string) ([]byte, error) { return e.ctr.bytes(ctx, "content", "get", digest) }
		return resolve(blobs, target, host)
	}
	return image{}, fmt.Errorf("%T: has no store to ask", e)
}

// targetOf names an engine for pull, by the socket in its command.
func targetOf(name string) []string {
	socket := socketOf(commandFor(name))
	if strings.HasPrefix(name, "dockerd") {
		return []string{"--to", "docker", "--docker-host", "unix://" + socket}
	}
	return []string{"--to", "containerd", "--containerd-address", socket}
}

// socketOf finds where an engine listens, seen from outside its chroot.
func socketOf(c command) string {
	root, socket := "", ""
	for i, arg := range c[:len(c)-1] {
		switch arg {
		case "chroot":
			root = c[i+1]
		case "-H", "--address":
			socket = strings.TrimPrefix(c[i+1], "unix://")
		}
	}
	return filepath.Join(root, socket)
}

// TestNativeTargets pulls into a layout, an archive and `docker load`.
func TestNativeTargets(t *testing.T) {
	f := publishFar(t, "small.docker20.tar")
	p := newProgram(t)
	dir := t.TempDir()
	for _, to := range []string{"oci:" + dir + "/layout", "oci-archive:" + dir + "/layout.tar", "docker-archive:" + dir + "/docker.tar"} {
		if _, err := p.command().output(deadline(t), "pull", "--gateway", f.gateway, "--to", to, f.name); err != nil {
			t.Fatal(err)
		}
		if c := commandFor("skopeo"); c != nil {
			if _, err := c.output(deadline(t), "inspect", to); err != nil {
				t.Errorf("skopeo does not read %s: %v", to, err)
			}
		}
	}
	lines, err := p.publish(deadline(t), dir+"/layout", false)
	if err != nil || !strings.Contains(lines[0], strings.SplitN(f.name, "/", 2)[0]) {
		t.Errorf("the pulled layout is published as %s (%v), it was %s", lines, err, f.name)
	}
	for _, name := range []string{"dockerd20", "dockerd28"} {
		if c := commandFor(name); c != nil {
			t.Run(name, func(t *testing.T) { load(t, dockerd{c}, dir+"/docker.tar", "small:1") })
		}
	}
}

// TestArchiveFile pulls a docker archive that is one plain file on IPFS, the
// recipe of the early days.
func TestArchiveFile(t *testing.T) {
	k := startKubo(t)
	cid, err := k.ipfs.output(deadline(t), "add", "--quieter", archivePath(t, "small.docker20.tar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dockerd20", "dockerd28"} {
		c := commandFor(name)
		if c == nil {
			continue
		}
		args := append([]string{"pull", "--api", k.api, cid}, targetOf(name)...)
		if _, err := newProgram(t).command().output(deadline(t), args...); err != nil {
			t.Fatal(err)
		}
		d := dockerd{c}
		if text, err := d.Cat(deadline(t), "small:1", "/etc/message"); err != nil || text != "small" {
			t.Errorf("%s: /etc/message: %q (%v)", name, text, err)
		}
		if err := d.Remove(deadline(t), "small:1"); err != nil {
			t.Error(err)
		}
	}
}

// TestBrokenArchiveFile has dockerd refuse what it is sent, which it does in the
// middle of an answer that begins well.
func TestBrokenArchiveFile(t *testing.T) {
	k := startKubo(t)
	path := filepath.Join(t.TempDir(), "broken.tar")
	if err := os.WriteFile(path, spoiled(t, archivePath(t, "small.docker20.tar")), 0o600); err != nil {
		t.Fatal(err)
	}
	cid, err := k.ipfs.output(deadline(t), "add", "--quieter", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dockerd20", "dockerd28"} {
		if commandFor(name) == nil {
			continue
		}
		args := append([]string{"pull", "--api", k.api, cid}, targetOf(name)...)
		if out, err := newProgram(t).command().output(deadline(t), args...); err == nil {
			t.Errorf("%s: a layer that is not what its config says was loaded: %s", name, out)
		} else if !strings.Contains(strings.ToLower(err.Error()), "diff") {
			t.Errorf("%s: expected a complaint about the layer's diff_id, found %v", name, err)
		}
		if name == "dockerd28" { // keeps the name all the same
			if err := (dockerd{commandFor(name)}).Remove(deadline(t), "small:1"); err != nil {
				t.Error(err)
			}
		}
	}
}

func load(t *testing.T, d dockerd, archive, name string) {
	in, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := d.docker.pipe(deadline(t), in, nil, "load"); err != nil {
		t.Fatal(err)
	}
	if text, err := d.Cat(deadline(t), name, "/etc/message"); err != nil || text != "small" {
		t.Errorf("/etc/message: %q (%v)", text, err)
	}
	if err := d.Remove(deadline(t), name); err != nil {
		t.Error(err)
	}
}

// TestNativeOtherNamespace pulls into dockerds whose loopback is not ours though their
// sockets are here, as in a container with the socket mounted: they cannot fetch from
// a port of ours, so the image is loaded.
func TestNativeOtherNamespace(t *testing.T) {
	engines := findEngines(t)
	f := publishFar(t, "small.docker28.tar")
	tree := t.TempDir() // a network of its own has no way to the gateway, so it has the blocks
	p := newProgram(t)
	if _, err := p.command().output(deadline(t), "pull", "--quiet", "--gateway", f.gateway, "--to", "oci:"+tree, f.name); err != nil {
		t.Fatal(err)
	}
	if _, err := p.command().output(deadline(t), "publish", "--quiet", tree); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dockerd20", "dockerd28"} {
		e, ok := engines[name]
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			apart := append(command{"unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "-"}, p.command()...)
			arrived, err := apart.output(deadline(t), append(append([]string{"pull", "--quiet"}, targetOf(name)...), f.name)...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := held(deadline(t), e, arrived)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.DiffIDs, f.want.DiffIDs) {
				t.Errorf("arrived as %+v, want %+v", got, f.want)
			}
			if text, err := e.Cat(deadline(t), arrived, "/etc/message"); err != nil || text != "small" {
				t.Errorf("/etc/message: %q (%v)", text, err)
			}
			if err := e.Remove(deadline(t), arrived); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestResolverExample runs the program of docs/examples, which hands the
// resolver to containerd's own client.
func TestResolverExample(t *testing.T) {
	engines := findEngines(t)
	example := commandFor("example")
	if example == nil {
		t.Fatal("E2E_EXAMPLE is not set; run the tests with hack/e2e.sh")
	}
	f := publishFar(t, "small.docker28.tar")
	for _, name := range []string{"containerd16", "containerd2"} {
		e, ok := engines[name].(containerd)
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			run := append(command{"env", "IMAGE2IPFS_PATH=" + t.TempDir()}, example...)
			out, err := run.output(deadline(t), "-address", socketOf(commandFor(name)), "-gateway", f.gateway, tagged(f.name))
			if err != nil {
				t.Fatal(err)
			}
			t.Log(out)
			ref := refIn(t, e, f.name)
			got, err := held(deadline(t), e, ref)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, host, got, f.want)
			if text, err := e.Cat(deadline(t), ref, "/etc/message"); err != nil || text != "small" {
				t.Errorf("/etc/message: %q (%v)", text, err)
			}
			if err := e.Remove(deadline(t), ref); err != nil {
				t.Error(err)
			}
		})
	}
}

// refIn finds the name under which containerd has an image.
func refIn(t *testing.T, e containerd, part string) string {
	t.Helper()
	out, err := e.ctr.output(deadline(t), "images", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range strings.Fields(out) {
		if strings.Contains(ref, part) {
			return ref
		}
	}
	t.Fatalf("containerd has no image named %s: %s", part, out)
	return ""
}
