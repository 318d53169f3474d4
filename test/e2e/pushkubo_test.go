//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// What is pushed goes into Kubo with --api: held there through its garbage collection
// and a restart of the server, pulled by name and by CID, and gone after rm.
func TestPushKubo(t *testing.T) {
	t.Parallel()
	skopeo := commandFor("skopeo")
	if skopeo == nil {
		missing(t, "skopeo", "not there")
		t.SkipNow()
	}
	k := startKubo(t)
	p := newProgram(t)
	addr, push := freeAddr(t), freeAddr(t)
	s := p.serve(t, addr, "--push", push, "--api", k.api)
	run := func(c command, args ...string) string {
		t.Helper()
		out, err := c.output(deadline(t), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	run(skopeo, "copy", "--all", "--dest-tls-verify=false", "oci:"+archivePath(t, "small.skopeo")+":small:1", "docker://"+push+"/team/app:1")
	ciq := run(p.command(), "ref", "--api", k.api, "-f", "ciq", "team/app:1")
	pulls := func() {
		t.Helper()
		run(k.ipfs, "repo", "gc", "--quiet")
		pushed, read := registry{program: p, server: &server{addr: push}}, registry{program: p, server: &server{addr: addr}}
		if a, b := pushed.check(t, push+"/team/app:1"), read.check(t, fmt.Sprintf("%s/%s/team/app", addr, ciq)); a != b {
			t.Errorf("it is %s by its name and %s by its CID", a, b)
		}
		run(p.command(), "verify", "--api", k.api, "team/app:1")
	}
	pulls()
	if pins := run(k.ipfs, "pin", "ls", "--type", "recursive", "--names"); !strings.Contains(pins, "image2ipfs-hold:manifest team/app sha256:") || !strings.Contains(pins, "image2ipfs-pushed:team/app:1") {
		t.Errorf("Kubo's pins are:\n%s", pins)
	}
	s.stop(t)
	p.serve(t, addr, "--push", push, "--api", k.api)
	pulls()
	published := strings.Fields(run(p.command(), "publish", "-q", "--api", k.api, "--tag", "team/app:2", archivePath(t, "small.skopeo")))[0]
	byName := registry{program: p, server: &server{addr: push}}
	if a, b := byName.check(t, push+"/team/app:2"), byName.check(t, push+"/small:1"); a != b {
		t.Errorf("what was published is %s by --tag and %s by its own name", a, b)
	}
	run(p.command(), "rm", "--api", k.api, published)
	run(p.command(), "rm", "--api", k.api, "team/app:1")
	run(k.ipfs, "repo", "gc", "--quiet")
	if pins := run(k.ipfs, "pin", "ls", "--type", "recursive", "--names"); strings.Contains(pins, "image2ipfs") {
		t.Errorf("after rm Kubo has the pins:\n%s", pins)
	}
	if _, err := skopeo.output(deadline(t), "inspect", "--tls-verify=false", "docker://"+push+"/team/app:1"); err == nil {
		t.Error("it is pulled after rm")
	}
	results.progress("pushed into Kubo")
}
