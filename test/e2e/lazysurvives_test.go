//go:build e2e && linux

// What a container that was started lazily needs goes on coming when the node that it
// came from dies.

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// aFew reads files that nobody has read before, until at least a few megabytes have come.
const aFew = `set -e; n=0; for f in $(find /usr/share/doc /usr/lib -type f | sort -r | head -300); do cat "$f" >/dev/null; n=$((n+1)); done; echo $n`

// TestLazySurvivesPeer has a node's own server get blocks from two peers, of which one
// is killed under the running container.
func TestLazySurvivesPeer(t *testing.T) {
	lazyOrSkip(t)
	l := newLab(t)
	first, second, third := l.machine(t), l.machine(t), l.machine(t)
	name := first.published(t, "big.docker20.tar", lazily...)
	if again := second.published(t, "big.docker20.tar", lazily...); again != name {
		t.Fatalf("one machine published %s, the other %s", name, again)
	}
	for _, m := range []*machine{first, second} {
		m.serving(t, "--swarm-listen", listenOn)
	}
	third.serving(t, "--peers", first.address(t), "--peers", second.address(t), "--swarm-listen", listenOn)
	third.connected(t, first.id(t), "image2ipfs")
	third.connected(t, second.id(t), "image2ipfs")
	c := startLazyContainerd(t, "", third.m.Prefix()...)
	ref := tagged(registryAddr + "/" + name)
	if _, err := c.on("stargz").ctr.output(deadline(t), "images", "pull", "--plain-http", "--snapshotter", "stargz", ref); err != nil {
		t.Fatal(err)
	}
	id := c.sleeper(t, ref)
	before := lazyBytes(t, third.server)
	first.server.kill(t)
	if text, err := c.in(t, id, aFew); err != nil || text == "0" {
		t.Fatalf("with one of two peers dead: %q (%v)\n%s", text, err, third.server.lastLines())
	}
	after := lazyBytes(t, third.server)
	if after-before < 1<<20 {
		t.Errorf("%d bytes were fetched before the death, %d after it: too few to tell", before, after-before)
	}
	t.Logf("%d bytes before the death, %d after it", before, after-before)
}

// TestLazySurvivesHost has the snapshotter know two hosts: when one dies the next
// container of the image goes on with the other.
func TestLazySurvivesHost(t *testing.T) {
	lazyOrSkip(t)
	dying, other := modes[0].start(t), modes[0].start(t)
	lines, err := dying.publish(deadline(t), archivePath(t, "big.docker20.tar"), false, append([]string{"-r", dying.addr}, lazily...)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.publish(deadline(t), archivePath(t, "big.docker20.tar"), false, append([]string{"-r", other.addr}, lazily...)...); err != nil {
		t.Fatal(err)
	}
	c := startLazyContainerd(t, fmt.Sprintf("[blob]\ncheck_always = true\n[[resolver.host.%q.mirrors]]\nhost = %q\n", dying.addr, other.addr))
	ref := tagged(lines[0])
	if _, err := c.on("stargz").ctr.output(deadline(t), "images", "pull", "--plain-http", "--snapshotter", "stargz", ref); err != nil {
		t.Fatal(err)
	}
	c.sleeper(t, ref)
	if n := lazyBytes(t, dying.server); n != 0 {
		t.Errorf("the mirror was not asked first: %d bytes came from behind it", n)
	}
	other.kill(t) // the mirror: the registry itself is the other host
	id := c.sleeper(t, ref)
	if text, err := c.in(t, id, aFew); err != nil || text == "0" {
		t.Fatalf("with one of two hosts dead: %q (%v)", text, err)
	}
	if n := lazyBytes(t, dying.server); n < 1<<20 {
		t.Errorf("%d bytes came from the other host", n)
	}
}

func lazyOrSkip(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing(t, "lazy pulls", err.Error())
		t.SkipNow()
	}
}

// sleeper starts a container that does nothing, and ends it with the test.
func (c lazyContainerd) sleeper(t *testing.T, ref string) (id string) {
	t.Helper()
	ctr := c.on("stargz").ctr
	id = fmt.Sprintf("lazy-%d-%d", time.Now().UnixNano(), c.next.Add(1)) // all engines share one cgroup tree
	if _, err := ctr.output(deadline(t), "run", "--detach", "--snapshotter", "stargz", ref, id, "/bin/sleep", "1000"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := ctr.output(deadline(t), "tasks", "kill", "--signal", "KILL", id); err != nil {
			t.Error(err)
		}
		if _, err := ctr.output(deadline(t), "tasks", "delete", "--force", id); err != nil {
			t.Error(err)
		}
		if _, err := ctr.output(deadline(t), "containers", "delete", id); err != nil {
			t.Error(err)
		}
	})
	return id
}

// in runs a script in a container.
func (c lazyContainerd) in(t *testing.T, id, script string) (string, error) {
	t.Helper()
	return c.on("stargz").ctr.output(deadline(t), "tasks", "exec", "--exec-id", fmt.Sprint("e", c.next.Add(1)), id, "/bin/sh", "-c", script)
}

// lazyBytes adds up the ranges that a server has sent.
func lazyBytes(t *testing.T, s *server) (n int64) {
	t.Helper()
	for _, a := range s.requests(t) {
		if a.Method == http.MethodGet && strings.Contains(a.Path, "/blobs/") && a.Status == http.StatusPartialContent {
			n += a.Bytes
		}
	}
	return n
}
