//go:build e2e

// Engines that `image2ipfs setup` has configured pull names without a host, go
// on to their registry for all other names, and are as before after the undo.

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// otherImage is in the second registry only, and carries no CID in its name.
const otherImage = "library/other:1"

// local is a server with one published image, and a second registry that is the
// upstream for all other names.
type local struct {
	*registry
	image    published
	upstream string       // host:port
	lookups  atomic.Int64 // requests that the server made of its IPFS gateway
	secure   bool         // it has TLS
}

// startLocal starts both. The gateway has nothing; it counts.
func startLocal(t *testing.T) *local {
	t.Helper()
	l := &local{registry: &registry{program: newProgram(t)}}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		l.lookups.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(gateway.Close)
	l.server = l.serve(t, freeAddr(t), "--debug", "--gateway", gateway.URL)
	l.image = publishOne(t, l.registry, archives[0])[0]
	crane := commandFor("crane")
	if crane == nil {
		missing(t, "setup", "crane, which is the second registry, is not there (hack/engines.sh tools builds it)")
		t.SkipNow()
	}
	l.upstream = startRegistry(t, crane)
	if _, err := crane.output(deadline(t), "push", archivePath(t, "plain.crane.tar"), l.upstream+"/"+otherImage); err != nil {
		t.Fatal(err)
	}
	return l
}

// name is the published image's without a host, with a tag.
func (l *local) name() string { return tagged(strings.TrimPrefix(l.image.ref, l.addr+"/")) }

// url is the server's.
func (l *local) url() string {
	if l.secure {
		return "https://" + l.addr
	}
	return "http://" + l.addr
}

// setup runs `image2ipfs setup`, and again: then there must be nothing to do.
func (l *local) setup(t *testing.T, args ...string) {
	t.Helper()
	args = append(append([]string{"setup"}, args...), "--server", l.url())
	for _, want := range []bool{true, false} {
		if slices.Contains(args, "--undo") && !want {
			break
		}
		out, err := l.command().output(deadline(t), append(args, "--yes", "--json")...)
		if err != nil {
			t.Fatal(err)
		}
		var done struct{ Written bool }
		if err := json.Unmarshal([]byte(out), &done); err != nil || done.Written != want {
			t.Fatalf("%v: expected written to be %v, found %s (%v)", args, want, out, err)
		}
	}
}

// doctor runs `image2ipfs doctor`, which must be content and mention these.
func (l *local) doctor(t *testing.T, mentions []string, args ...string) {
	t.Helper()
	out, err := l.command().output(deadline(t), append([]string{"doctor", "--server", l.url()}, args...)...)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, m := range mentions {
		if !strings.Contains(out, m) {
			t.Errorf("doctor does not mention %q:\n%s", m, out)
		}
	}
	if !t.Failed() {
		t.Log("\n" + out)
	}
}

// ordinary pulls a name without a CID. The server must be asked, answer nothing
// but 404 (containerd asks for the manifest, and then for each content), and ask
// nobody itself.
func (l *local) ordinary(t *testing.T, what string, pull func() error) {
	t.Helper()
	lookups, before := l.lookups.Load(), l.asked(t, "/library/other/")
	if err := pull(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	answers := l.asked(t, "/library/other/")[len(before):]
	if other := slices.DeleteFunc(slices.Clone(answers), func(a int) bool { return a == http.StatusNotFound }); len(answers) == 0 || len(other) > 0 {
		t.Errorf("%s: expected the server to be asked and to answer 404, found %v", what, answers)
	}
	t.Logf("%s: %d times 404", what, len(answers))
	if n := l.lookups.Load() - lookups; n != 0 {
		t.Errorf("%s: %d requests to IPFS", what, n)
	}
}

// asked lists how the server answered requests whose path contains a part.
func (l *local) asked(t *testing.T, part string) (answers []int) {
	t.Helper()
	for _, a := range l.requests(t) {
		if strings.Contains(a.Path, part) {
			answers = append(answers, a.Status)
		}
	}
	return answers
}

// place is where an engine of our own keeps its files: a directory with a short
// name, since paths of sockets must be short.
type place struct {
	prefix command // before the engine's programs: nothing, or chroot
	root   string  // what the engine sees as /; empty without chroot
	dir    string  // as the engine sees it
}

// newPlace makes one beside the engine of that name which hack/engines.sh runs.
func newPlace(t *testing.T, engine, client string) place {
	t.Helper()
	c := commandFor(engine)
	if c == nil {
		missing(t, "setup "+engine, "not there (hack/engines.sh up starts it)")
		t.SkipNow()
	}
	p := place{prefix: c[:slices.Index(c, client)], dir: filepath.Join(workDir(t), "setup-"+engine)}
	if i := slices.Index(c, "chroot"); i >= 0 {
		p.root, p.dir = c[i+1], "/eng/setup-"+engine
	}
	p.clear(t)
	t.Cleanup(func() {
		syscall.Unmount(p.outer("data"), syscall.MNT_DETACH) // dockerd mounts it on itself
		if err := os.RemoveAll(p.outer("")); err != nil {
			t.Error(err)
		}
	})
	return p
}

// clear makes it an empty directory.
func (p place) clear(t *testing.T) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(p.outer("")), os.MkdirAll(p.outer(""), 0o755)); err != nil {
		t.Fatal(err)
	}
}

// inner is a path as the engine sees it, outer as we do.
func (p place) inner(name string) string { return filepath.Join(p.dir, name) }
func (p place) outer(name string) string { return filepath.Join(p.root, p.dir, name) }

// program is a command of the engine's own machine.
func (p place) program(args ...string) command { return append(slices.Clone(p.prefix), args...) }

// write makes a file.
func (p place) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.outer(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.outer(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// expect compares a file.
func (p place) expect(t *testing.T, name, want string) {
	t.Helper()
	got, err := os.ReadFile(p.outer(name))
	if err != nil || string(got) != want {
		t.Errorf("%s after the undo: %q (%v), expected %q", name, got, err, want)
	}
}

// startDaemon starts a program that runs until the end of the test, or until it is
// stopped before.
func startDaemon(t *testing.T, argv command) *process.Process {
	t.Helper()
	p := start(t, argv, filepath.Join(t.TempDir(), "daemon.log"), nil)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s:\n%s", argv, p.Last())
		}
		_ = p.Stop() // how they end is theirs
	})
	return p
}

// pullsLike checks that an engine has pulled what was published.
func (l *local) pullsLike(ctx context.Context, e engine) error {
	got, err := e.Pull(ctx, l.name(), host)
	if err != nil {
		return err
	}
	want := l.image.want[host]
	if !slices.Equal(got.DiffIDs, want.DiffIDs) || !slices.ContainsFunc(got.Digests, func(d string) bool { return slices.Contains(want.Digests, d) }) {
		return fmt.Errorf("pulled %+v, expected %+v", got, want)
	}
	return e.Remove(ctx, l.name())
}
