//go:build e2e && linux

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// moving is a name that moves to and fro between two roots, of one image in layers of
// other bytes.
type moving struct {
	owner program // has the key
	name  string
	roots []string
	hosts []string // the owner's server, and two that know the name from peers
	want  image    // with the manifests of both roots
	moved int
}

func newMoving(t *testing.T) *moving {
	t.Helper()
	m := &moving{owner: newProgram(t), hosts: []string{freeAddr(t), mirrorAddr, freeAddr(t)}}
	src, err := readSource(archivePath(t, "small.docker20.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if m.want, err = src.find("/small", host); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, lazily} {
		lines, err := m.owner.publish(deadline(t), archivePath(t, "small.docker20.tar"), false, args...)
		if err != nil || len(lines) != 1 || !strings.HasSuffix(lines[0], "/small") {
			t.Fatalf("publishing with %s: %q, %v", args, lines, err)
		}
		root, _ := strings.CutSuffix(lines[0], "/small")
		m.roots = append(m.roots, root[strings.LastIndex(root, "/")+1:])
	}
	m.name = m.owner.says(t, "name", "create", "app")
	m.move(t)
	m.owner.serve(t, m.hosts[0], "--swarm-listen", "/ip4/127.0.0.1/tcp/"+strings.TrimPrefix(freeAddr(t), "127.0.0.1:"))
	peer := m.owner.says(t, "id") // the last line is where it listens
	for _, addr := range m.hosts[1:] {
		newProgram(t).serve(t, addr, "--peers", peer, "--swarm-listen", "/ip4/127.0.0.1/tcp/0")
	}
	for _, addr := range m.hosts {
		eventually(t, addr+" knows the name", func() error { _, err := smallAt(addr, m.name); return err })
	}
	for _, root := range m.roots {
		digest, err := smallAt(m.hosts[0], root)
		if err != nil || slices.Contains(m.want.Digests, digest) {
			t.Fatalf("%s has manifest %q (%v), beside %s", root, digest, err, m.want.Digests)
		}
		m.want.Digests = append(m.want.Digests, digest)
	}
	return m
}

// move has the name mean the other root.
func (m *moving) move(t *testing.T) {
	m.moved++
	m.owner.says(t, "name", "publish", "--ttl", "1s", "app", m.roots[m.moved%2])
}

// While a name moves every engine pulls by it: from the machine that has its key, from two
// that know it from peers, and without a host through dockerd's mirror. Each pull brings one
// of the two roots, whole; in the end all machines give what the name means last.
func TestMovingName(t *testing.T) {
	engines := findEngines(t)
	m := newMoving(t)
	stop := make(chan struct{})
	var mover sync.WaitGroup
	mover.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(700 * time.Millisecond):
				m.move(t)
			}
		}
	})
	t.Run("pulls", func(t *testing.T) {
		for engineName, e := range engines {
			var refs []string
			for _, addr := range m.hosts {
				refs = append(refs, addr+"/"+m.name+"/small:1")
			}
			if strings.HasPrefix(engineName, "dockerd") {
				refs = append(refs, m.name+"/small:1") // by the mirror
			}
			t.Run(engineName, func(t *testing.T) {
				t.Parallel()
				for _, ref := range refs {
					pullMoving(t, e, ref, m.want)
				}
			})
		}
	})
	close(stop)
	mover.Wait()
	if m.moved < 10 {
		t.Errorf("the name moved %d times, expected 10 or more", m.moved)
	}
	last, err := smallAt(m.hosts[0], m.roots[m.moved%2])
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range m.hosts {
		eventually(t, addr+" gives what the name means last", func() error {
			got, err := smallAt(addr, m.name)
			if err == nil && got != last {
				err = fmt.Errorf("it gives %s, expected %s", got, last)
			}
			return err
		})
	}
	results.progress("a name moved %d times while %d engines pulled by it", m.moved, len(engines))
}

// pullMoving pulls by a name that means one of some manifests at a time, and runs what
// came.
func pullMoving(t *testing.T, e engine, ref string, want image) {
	t.Helper()
	got, err := e.Pull(deadline(t), ref, host)
	if err != nil {
		t.Errorf("%s: %v", ref, err)
		return
	}
	if i := slices.IndexFunc(want.Digests, func(d string) bool { return slices.Contains(got.Digests, d) }); i > 0 {
		want.Digests = want.Digests[i:]
	}
	compare(t, host, got, want)
	if text, err := e.Cat(deadline(t), ref, "/etc/message"); err != nil || strings.TrimSpace(text) != "small" {
		t.Errorf("%s: /etc/message is %q (%v), expected small", ref, text, err)
	}
	if err := e.Remove(deadline(t), ref); err != nil {
		t.Error(err)
	}
}

// says runs the program, and gives the last line of what it prints.
func (p program) says(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.command().output(deadline(t), args...)
	if err != nil {
		t.Errorf("%s: %v", strings.Join(args, " "), err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

// smallAt is the digest that a registry gives for small below a name.
func smallAt(addr, name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+filepath.Join(addr, "v2", name, "small/manifests/1"), http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", r.URL, resp.Status)
	}
	return resp.Header.Get("Docker-Content-Digest"), nil
}
