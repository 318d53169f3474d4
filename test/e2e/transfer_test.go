//go:build e2e && linux

// containerd's transfer service and images of two manifests for one platform.

package e2e

import (
	"strings"
	"testing"
)

// TestTransferService pulls an image of zstd:chunked layers by its tag. The service
// takes every manifest that its platform matches, and of a pair that is to be the
// first alone: so no layer is ever fetched whole. containerd before 2.4 does not
// look at what the second asks for, and takes both.
func TestTransferService(t *testing.T) {
	c := startLazyContainerd(t, extra(t, "containerd24")[0])
	version, err := c.on("stargz").Version(deadline(t))
	if err != nil || !strings.HasPrefix(version, "containerd v2.4") {
		t.Fatalf("version %q, want 2.4: %v", version, err)
	}
	reg := modes[0].start(t)
	lines, err := reg.publish(deadline(t), archivePath(t, "small.docker20.tar"), false, append([]string{"-r", reg.addr}, inChunks...)...)
	if err != nil {
		t.Fatal(err)
	}
	ref := tagged(lines[0])
	_, layers, size := firstManifest(t, reg, ref)
	second := manifestsOf(t, reg, ref)[1]
	e := c.on("stargz")
	for range 5 {
		if _, err := e.Pull(deadline(t), ref, host); err != nil {
			t.Fatal(err)
		}
		contents, err := e.ctr.output(deadline(t), "content", "ls", "-q")
		if err != nil {
			t.Fatal(err)
		}
		for _, digest := range append([]string{second}, layers...) {
			if strings.Contains(contents, digest) {
				t.Errorf("%s was fetched", digest)
			}
		}
		if err := e.Remove(deadline(t), ref); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Pull(deadline(t), ref, host); err != nil {
		t.Fatal(err)
	}
	if text, err := e.Cat(deadline(t), ref, "/etc/message"); err != nil || text != message(lines[0]) {
		t.Errorf("/etc/message: expected %q, found %q (%v)", message(lines[0]), text, err)
	}
	t.Logf("%s: %d of the layers' %d bytes fetched by six pulls and a run", version, bytesServed(t, reg, layers), size)
}
