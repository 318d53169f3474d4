//go:build e2e && linux

// What a container that was started lazily needs goes on coming when the node that it
// came from dies.

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// aFew reads 300 files that nobody has read before, and says how many could be read.
const aFew = `n=0; for f in $(find /usr/share/doc /usr/lib -type f | sort -r | head -300); do cat "$f" >/dev/null && n=$((n+1)); done; echo $n`

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
	container := c.shell(t, ref)
	before := lazyBytes(t, third.server)
	first.server.kill(t)
	if text, err := container.run(aFew); err != nil || text != "300" {
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
	c.shell(t, ref)
	if n := lazyBytes(t, dying.server); n != 0 {
		t.Errorf("the mirror was not asked first: %d bytes came from behind it", n)
	}
	other.kill(t) // the mirror: the registry itself is the other host
	if text, err := c.shell(t, ref).run(aFew); err != nil || text != "300" {
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

// shell is a container that runs what it is told.
type shell struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// shell starts one, which ends with the test. It has no second process (ctr tasks exec):
// in a chroot, where the engines run, runc has that see the chroot's files.
func (c lazyContainerd) shell(t *testing.T, ref string) *shell {
	t.Helper()
	id := fmt.Sprintf("lazy-%d", time.Now().UnixNano()) // all engines share one cgroup tree
	argv := append(slices.Clone(c.on("stargz").ctr), "run", "--rm", "--snapshotter", "stargz", ref, id, "/bin/sh", "-s")
	cmd := exec.CommandContext(deadline(t), argv[0], argv[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &shell{in, bufio.NewReader(out)}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // how it ends says nothing: its files may be gone
	})
	if text, err := s.run("echo begun"); err != nil || text != "begun" {
		t.Fatalf("%s: %q (%v)", ref, text, err)
	}
	return s
}

// run runs a script that prints one line.
func (s *shell) run(script string) (string, error) {
	if _, err := io.WriteString(s.in, script+"\n"); err != nil {
		return "", err
	}
	line, err := s.out.ReadString('\n')
	return strings.TrimSpace(line), err
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
