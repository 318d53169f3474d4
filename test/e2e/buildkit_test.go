//go:build e2e

// BuildKit's cache as an image layout: published once, it is what later builds on
// any machine have their layers from.

package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// randomly is a build whose second step cannot be repeated: that a file is the same
// as before shows that it came from the cache.
const randomly = `FROM scratch
COPY busybox /bin/busybox
RUN --network=none ["/bin/busybox", "sh", "-c", "head -c 20000 /dev/urandom >/made"]
`

// TestBuildCache builds with BuildKit, forgets all of it but the cache that was
// published, and builds again.
func TestBuildCache(t *testing.T) {
	if commandFor("dockerd28") == nil {
		missing(t, "BuildKit's cache", "dockerd 28 is not there (hack/engines.sh up starts it)")
		t.SkipNow()
	}
	at := newPlace(t, "dockerd28", "docker")
	docker := commandFor("dockerd28")
	busybox, err := os.ReadFile(filepath.Join(workDir(t), "sources", "small", "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	at.write(t, "src/Dockerfile", randomly)
	at.write(t, "src/busybox", string(busybox))
	if err := os.Chmod(at.outer("src/busybox"), 0o755); err != nil {
		t.Fatal(err)
	}
	for form, isManifest := range map[string]string{"index": "false", "manifest": "true"} {
		t.Run(form, func(t *testing.T) {
			p := newProgram(t)
			s := p.serve(t, freeAddr(t))
			build := func(out string, args ...string) string { return at.build(t, docker, form+out, args...) }
			build("1", "--cache-to", "type=local,mode=max,oci-mediatypes=true,image-manifest="+isManifest+",dest="+at.inner(form))
			lines, err := p.publish(deadline(t), at.outer(form), false, "-r", s.addr)
			if err != nil || len(lines) != 1 {
				t.Fatalf("%q, %v", lines, err)
			}
			wantLayers(t, at.outer(form), lines[0], p)
			if err := os.RemoveAll(at.outer(form)); err != nil {
				t.Fatal(err)
			}
			said := build("2", "--cache-from", "type=registry,ref="+lines[0])
			if !strings.Contains(said, " CACHED\n") { // a step whose layer took a moment to come says something else
				t.Errorf("nothing came from the cache:\n%s\n%s", said, s.lastLines())
			}
			one, err := os.ReadFile(at.outer(form + "1/made"))
			if err != nil {
				t.Fatal(err)
			}
			two, err := os.ReadFile(at.outer(form + "2/made"))
			if err != nil || string(one) != string(two) {
				t.Errorf("what cannot be made twice is another file: %v", err)
			}
			if got := s.blobsAnswered(t)[200]; got < 3 {
				t.Errorf("%d blobs were asked for, expected the config and two layers", got)
			}
		})
	}
}

// build runs the build, has its files written to a directory, and makes the
// builder forget it. It returns what the build said.
func (p place) build(t *testing.T, docker command, out string, args ...string) string {
	t.Helper()
	args = append([]string{"buildx", "build", "--progress", "plain", "--output", "type=local,dest=" + p.inner(out)}, args...)
	var said strings.Builder
	c := append(command{"sh", "-c", `exec "$@" 2>&1`, "sh"}, docker...)
	if err := c.pipe(deadline(t), nil, &said, append(args, p.inner("src"))...); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if _, err := docker.output(deadline(t), "builder", "prune", "--all", "--force"); err != nil {
		t.Fatal(err)
	}
	return said.String()
}

// wantLayers pulls a published cache as a layout, which must be the one that was
// published, byte for byte.
func wantLayers(t *testing.T, published, name string, p program) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	if _, err := p.command().output(deadline(t), "pull", "-q", "--to", "oci:"+dir, name); err != nil {
		t.Fatal(err)
	}
	blobs := os.DirFS(filepath.Join(published, "blobs"))
	err := fs.WalkDir(blobs, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		want, err := fs.ReadFile(blobs, name)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(dir, "blobs", name))
		if string(got) != string(want) {
			t.Errorf("%s is not what was published", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
