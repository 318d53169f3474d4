//go:build e2e && linux

// What `image2ipfs setup stargz` writes is read by containerd and by the real
// stargz-snapshotter, and is gone after the undo.

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestSetupStargz pulls a ciq… name lazily in a box in which nothing but setup's
// commands has configured anything.
func TestSetupStargz(t *testing.T) {
	binary := commandFor("stargz")
	if binary == nil {
		t.Fatal("E2E_STARGZ is not set; run the tests with hack/e2e.sh")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing(t, "setup stargz", err.Error())
		t.SkipNow()
	}
	l := startLocal(t)
	lines, err := l.publish(deadline(t), archivePath(t, "small.docker20.tar"), false, append([]string{"-r", l.addr}, lazily...)...)
	if err != nil {
		t.Fatal(err)
	}
	ref, layers, _ := firstManifest(t, l.registry, tagged(lines[0]))
	name := "docker.io/" + strings.TrimPrefix(ref, l.addr+"/")
	b := newBox(t, "containerd", "containerd2", l)
	t.Cleanup(func() { unmountBelow(t, b.outer("")) })
	copyProgram(t, binary[0], b.outer("bin/containerd-stargz-grpc"))
	b.unit(t, "stargz-snapshotter", "/run/containerd-stargz-grpc/containerd-stargz-grpc.sock", b.inner("bin/containerd-stargz-grpc"), "--config", "/etc/containerd-stargz-grpc/config.toml")
	b.write(t, "etc/hosts", "127.0.0.1 localhost\n")
	b.write(t, "etc/containerd-stargz-grpc/config.toml", "noprefetch = true\n[resolver]\nrequest_timeout_sec = 20\n")
	b.containerd(t)
	files := b.state(t)
	b.must(t, "systemctl start stargz-snapshotter && systemctl start containerd")
	b.wantStargz(t, l, "PROBLEM", "image2ipfs setup stargz --yes")
	for _, kind := range []string{"containerd", "stargz"} {
		r := trial{setting: setting{kind: kind}, box: b, l: l}
		r.change(t)
		if again, err := r.setup(t); err != nil || again.Written {
			t.Errorf("setup %s once more: %+v, %v; expected nothing to do", kind, again, err)
		}
	}
	b.wantStargz(t, l, "ok ", "knows it")
	b.pullLazily(t, l, name, layers)
	for _, kind := range []string{"stargz", "containerd"} {
		trial{setting: setting{kind: kind}, box: b, l: l}.change(t, "--undo")
	}
	trial{box: b}.unchanged(t, files)
	b.wantStargz(t, l, "PROBLEM", "image2ipfs setup stargz --yes")
}

// wantStargz asks doctor.
func (b *box) wantStargz(t *testing.T, l *local, mark, part string) {
	t.Helper()
	out, err := b.run("image2ipfs").output(deadline(t), "doctor", "stargz", "--server", l.url())
	if line := func() string {
		for line := range strings.Lines(out + fmt.Sprint(err)) {
			if strings.Contains(line, "stargz") && strings.Contains(line, mark) {
				return line
			}
		}
		return ""
	}(); line == "" || !strings.Contains(out+fmt.Sprint(err), part) {
		t.Errorf("doctor: expected %q with %q, found (%v):\n%s", mark, part, err, out)
	}
}

// pullLazily pulls, looks that no layer came whole, and reads a file.
func (b *box) pullLazily(t *testing.T, l *local, name string, layers []string) {
	t.Helper()
	ctr := b.run("env", "CONTAINERD_SNAPSHOTTER=stargz", "ctr")
	eventually(t, "containerd", func() error {
		_, err := ctr.output(deadline(t), "version")
		return err
	})
	if _, err := ctr.output(deadline(t), "images", "pull", "--snapshotter", "stargz", "--hosts-dir", "/etc/containerd/certs.d", name); err != nil {
		t.Fatal(err)
	}
	contents, err := ctr.output(deadline(t), "content", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		if strings.Contains(contents, layer) {
			t.Errorf("layer %s was fetched whole", layer)
		}
	}
	text, err := containerd{ctr}.Cat(deadline(t), name, "/etc/message")
	if err != nil || text != "small" {
		t.Errorf("/etc/message: %q (%v)", text, err)
	}
	ranges := 0
	for _, a := range l.requests(t) {
		switch {
		case a.Method != http.MethodGet || !slices.Contains(layers, path.Base(a.Path)):
		case a.Status == http.StatusPartialContent:
			ranges++
		default:
			t.Errorf("%s %s: %d, expected ranges alone", a.Method, a.Path, a.Status)
		}
	}
	if ranges == 0 {
		t.Error("no range of a layer was fetched")
	}
	if _, err := ctr.output(deadline(t), "images", "rm", "--sync", name); err != nil {
		t.Error(err)
	}
}
