//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// mirrorAddr is what hack/engines.sh gives to dockerd as --registry-mirror.
const mirrorAddr = "127.0.0.1:5000"

// TestMirror pulls by the bare name, without a host: dockerd takes that for a
// name on Docker Hub and asks its mirror.
func TestMirror(t *testing.T) {
	if commandFor("dockerd20") == nil && commandFor("dockerd28") == nil {
		missing(t, "mirror of Docker Hub", "no dockerd there")
		t.SkipNow()
	}
	a := archives[0]
	p := newProgram(t)
	p.serve(t, mirrorAddr)
	lines, err := p.publish(deadline(t), archivePath(t, a.file), false, "-r", mirrorAddr)
	if err != nil {
		t.Fatal(err)
	}
	src, err := readSource(archivePath(t, a.file))
	if err != nil {
		t.Fatal(err)
	}
	want, err := src.find(a.names[0], host)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dockerd20", "dockerd28"} {
		t.Run(name, func(t *testing.T) {
			c := commandFor(name)
			if c == nil {
				t.Skip("engine not there")
			}
			e := newEngine(t, name, c)
			ref := strings.TrimPrefix(lines[0], mirrorAddr+"/")
			got, err := e.Pull(deadline(t), ref, host)
			if err != nil {
				t.Fatal(err)
			}
			want.Digests = got.Digests
			compare(t, host, got, want)
			if err := e.Remove(deadline(t), ref); err != nil {
				t.Error(err)
			}
		})
	}
}
