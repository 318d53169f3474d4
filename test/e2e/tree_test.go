//go:build e2e

// The published tree as others see it: Kubo decodes its name and gets it, and
// skopeo reads what was got.

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTree(t *testing.T) {
	k := startKubo(t)
	for _, file := range []string{
		"plain.crane.tar", "small.docker20.tar", "small.docker28.tar", "small.docker28classic.tar", "platforms.buildkit.tar",
	} {
		t.Run(file, func(t *testing.T) {
			if _, err := os.Stat(archivePath(t, file)); err != nil {
				t.Skip("archive not there")
			}
			p := newProgram(t)
			lines, err := p.publish(deadline(t), archivePath(t, file), false, "--api", k.api)
			if err != nil {
				t.Fatal(err)
			}
			ciq := strings.Split(lines[0], "/")[1]
			cid := decode(t, k, p, ciq)
			got := filepath.Join(t.TempDir(), "got")
			if _, err := k.ipfs.output(deadline(t), "get", "-o", got, "/ipfs/"+cid); err != nil {
				t.Fatal(err)
			}
			readBySkopeo(t, got, file)
			republish(t, p, got, ciq)
			sameAsWritten(t, p, archivePath(t, file), got)
		})
	}
}

// decode lets Kubo read the name, which is the CID's multihash without the
// letter that says base32, and compares that with what `ref` says.
func decode(t *testing.T, k *kubo, p program, ciq string) string {
	t.Helper()
	cid, err := k.ipfs.output(deadline(t), "cid", "format", "-v", "1", "-b", "base32", "b"+ciq)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := cidOf(ciq); err != nil || want != cid {
		t.Errorf("%s: Kubo says %s, expected %s (%v)", ciq, cid, want, err)
	}
	v0, err := k.ipfs.output(deadline(t), "cid", "format", "-v", "0", cid)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ciq, cid, v0} {
		out, err := p.command().output(deadline(t), "ref", name)
		if err != nil {
			t.Fatal(err)
		}
		for _, spelling := range []string{ciq, cid, v0} {
			if !strings.Contains(out, spelling) {
				t.Errorf("ref %s: expected %s in %q", name, spelling, out)
			}
		}
	}
	return cid
}

// readBySkopeo reads the tree as an OCI layout and compares with the archive.
func readBySkopeo(t *testing.T, dir, file string) {
	t.Helper()
	c := commandFor("skopeo")
	if c == nil {
		missing(t, "skopeo", "not installed; the tree from `ipfs get` was not read")
		return
	}
	raw, err := c.bytes(deadline(t), "inspect", "--raw", "oci:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	src, err := readSource(archivePath(t, file))
	if err != nil {
		t.Fatal(err)
	}
	want, err := src.find("", host)
	if err != nil {
		t.Fatal(err)
	}
	if want.Digests != nil && want.Digests[0] != digestOf(raw) {
		t.Errorf("skopeo inspect: expected %s, found %s", want.Digests[0], digestOf(raw))
	}
	if _, err := c.output(deadline(t), "copy", "--quiet", "--all", "oci:"+dir, "dir:"+dir+".copy"); err != nil {
		t.Error(err)
	}
}

// republish publishes the tree that Kubo gave back: same bytes, same name, from
// the embedded node as from Kubo.
func republish(t *testing.T, p program, dir, ciq string) {
	t.Helper()
	lines, err := p.publish(deadline(t), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(lines[0], "/")[1]; got != ciq {
		t.Errorf("published again: expected %s, found %s", ciq, got)
	}
}

// sameAsWritten compares the tree with the one that -n writes to a directory.
func sameAsWritten(t *testing.T, p program, archive, got string) {
	t.Helper()
	written := filepath.Join(t.TempDir(), "written")
	lines, err := p.publish(deadline(t), archive, false, "-n", "-o", written)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1 || lines[0] != written {
		t.Errorf("-n -o %s: expected that directory on standard output, found %q", written, lines)
	}
	if out, err := exec.Command("diff", "-r", written, got).CombinedOutput(); err != nil {
		t.Errorf("-n wrote another tree than was published: %v\n%s", err, out)
	}
}
