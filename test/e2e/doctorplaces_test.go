//go:build e2e && linux

// States of gateways, of disks and of peers: doctor's advice is followed.

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// gatewayStates are those of a gateway beside a server that is well.
func gatewayStates() []serverState {
	other := "" // the gateway's address
	beside := func(run func(t *testing.T, e *examined)) func(*testing.T, *examined, string) {
		return func(t *testing.T, e *examined, addr string) {
			other = freeAddr(t)
			e.start(t, "--addr", addr)
			e.arg = []string{"--gateway", "http://" + other}
			run(t, e)
		}
	}
	web := func(answer http.HandlerFunc) func(*testing.T, *examined) {
		return func(t *testing.T, e *examined) {
			s := httptest.NewServer(answer)
			t.Cleanup(s.Close)
			e.arg = []string{"--gateway", s.URL}
		}
	}
	leftOut := func(e *examined, t *testing.T, advice string) {
		if !strings.Contains(advice, "leave it out of --gateway") {
			t.Fatalf("nothing is said of leaving it out: %s", advice)
		}
		e.arg = nil
	}
	hung := func(t *testing.T, e *examined) {
		p := e.serve(t, other).run
		if err := p.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Cmd.Process.Signal(syscall.SIGCONT) }) // so that it can end
	}
	return []serverState{
		{"a gateway that is not there", beside(func(*testing.T, *examined) {}), "refused", "start it", func(e *examined, t *testing.T, _ string) { newProgram(t).serve(t, other) }},
		{"a web server for a gateway", beside(web(http.NotFound)), "404", "is no IPFS gateway", leftOut},
		{"a login page for a gateway", beside(web(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })), "", "is no IPFS gateway", leftOut},
		{"a gateway that hangs", beside(hung), "waited", "it hangs: see its log and start it anew", leftOut},
		{"a gateway that fails", beside(web(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })), "502", "see that gateway's log", leftOut},
		{"a gateway that is no URL", beside(func(_ *testing.T, e *examined) { e.arg[1] = "ftp://127.0.0.1" }), "ftp", "write it as http://host:port", func(e *examined, t *testing.T, _ string) {
			newProgram(t).serve(t, other)
			e.arg[1] = "http://" + other
		}},
	}
}

// A disk that is full, and one that is nearly so.
func TestDoctorSpace(t *testing.T) {
	addr := freeAddr(t)
	e := &examined{program: newProgram(t), dir: t.TempDir(), url: "http://" + addr}
	if err := os.Mkdir(e.store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", e.store, "tmpfs", 0, "size=200m,mode=700"); err != nil {
		missing(t, "doctor: a full disk", err.Error())
		t.SkipNow()
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(e.store, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	var names []string
	for _, file := range []string{"big.skopeo-oci.tar", "big.docker20.tar"} {
		lines, err := e.publish(deadline(t), archivePath(t, file), false)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, lines...)
	}
	filler, err := os.Create(filepath.Join(e.store, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if err := filler.Close(); err != nil {
		t.Fatal(err)
	}
	e.run = startDaemon(t, append(e.command(), "serve", "--addr", addr))
	eventually(t, "a server on a full disk", func() error { return process.Answers(http.DefaultClient, "http://"+addr+"/healthz")(t.Context()) })
	advised := map[string]bool{}
	for _, want := range []string{"no space left", "too little room"} {
		problem := e.doctor(t)
		if problem == nil || !strings.HasPrefix(problem.Check, "store") || !strings.Contains(problem.Detail, want) || advised[problem.Next] {
			t.Fatalf("doctor says %+v, expected %q and advice that is not among %v", problem, want, advised)
		}
		advised[problem.Next] = true
		if !strings.Contains(problem.Next, "image2ipfs rm") || !strings.Contains(problem.Next, "image2ipfs gc") {
			t.Fatalf("nothing is said of what makes room: %s", problem.Next)
		}
		for _, args := range [][]string{{"rm", names[0]}, {"gc"}} {
			if _, err := e.command().output(deadline(t), args...); err != nil {
				t.Fatal(err)
			}
		}
		names = names[1:]
	}
	if again := e.doctor(t); again != nil {
		t.Errorf("with room doctor says %+v", again)
	}
}

// examined is the machine as doctor looks at it, without engines.
func (m *machine) examined(t *testing.T) *finding {
	t.Helper()
	c := append(command(m.m.Prefix()), "env", "PATH="+t.TempDir(), "DOCKER_HOST=", "IMAGE2IPFS_PATH="+m.store, m.binary)
	return firstProblem(t, c, "doctor", "--json", "--server", "http://"+registryAddr)
}

// Peers that give nothing: none runs, it hangs, it has another key, the way is closed.
func TestDoctorPeers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	here, there := l.machine(t), l.machine(t)
	address := there.address(t)
	key := filepath.Join(t.TempDir(), "key")
	if _, err := here.command().output(deadline(t), "swarm-key", key); err != nil {
		t.Fatal(err)
	}
	here.serving(t, "--peers", address, "--swarm-listen", listenOn)
	serve := func(t *testing.T) { there.serving(t, "--swarm-listen", listenOn) }
	signal := func(t *testing.T, s syscall.Signal) {
		if err := there.server.run.Cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	route := func(t *testing.T, verb string) {
		if out, err := here.m.Command(t.Context(), "ip", "route", verb, "blackhole", there.m.IP+"/32").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, s := range []struct {
		name, says, next string
		enter, follow    func(*testing.T)
	}{
		{"does not run", "is not connected", "see that machine", func(*testing.T) {}, serve},
		{"hangs", "gave none", "see that machine", func(t *testing.T) { signal(t, syscall.SIGSTOP) }, func(t *testing.T) { signal(t, syscall.SIGCONT) }},
		{"cannot be reached", "gave none", "a firewall", func(t *testing.T) { route(t, "add") }, func(t *testing.T) { route(t, "del") }},
		{"has another key", "is not connected", "the same --swarm-key", func(t *testing.T) {
			there.server.stop(t)
			there.serving(t, "--swarm-listen", listenOn, "--swarm-key", key)
		}, func(t *testing.T) {
			there.server.stop(t)
			serve(t)
		}},
	} {
		s.enter(t)
		var first *finding
		eventually(t, "doctor notices a peer that "+s.name, func() error {
			first = here.examined(t)
			if first == nil {
				return errors.New("doctor finds nothing")
			}
			return nil
		})
		if first.Check != "peers" || !strings.Contains(first.Detail, s.says) || !strings.Contains(first.Next, s.next) {
			t.Errorf("%s: doctor says %+v, expected %q and %q", s.name, first, s.says, s.next)
		}
		s.follow(t)
		eventually(t, "after what was advised of a peer that "+s.name+", doctor", func() error {
			if again := here.examined(t); again != nil {
				return fmt.Errorf("says %+v", again)
			}
			return nil
		})
	}
}

// A server whose blobs are in Kubo sends engines to its gateway: doctor tries that by
// the engine's own pull, and says so.
func TestDoctorRedirect(t *testing.T) {
	k := startKubo(t)
	p := newProgram(t)
	l := &local{registry: &registry{program: p, server: p.serve(t, freeAddr(t), "--api", k.api)}}
	w := &ward{newBox(t, "docker", "dockerd20", l), l}
	started("docker", map[string]string{daemonFile: `{"registry-mirrors": ["SERVER"]}`})(t, w)
	said, err := w.run("image2ipfs").output(deadline(t), "doctor", "docker", "--server", l.url(), "--api", k.api)
	if err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	for _, want := range []string{"sends for blobs to " + k.gateway, "pulls ciq… names, blobs from " + k.gateway} {
		if !strings.Contains(said, want) {
			t.Errorf("doctor does not say %q:\n%s", want, said)
		}
	}
}
