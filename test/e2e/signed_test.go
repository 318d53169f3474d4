//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSigned publishes what `cosign save` writes: the signature must verify and
// be listed, as in the registry that it came from.
func TestSigned(t *testing.T) {
	t.Parallel()
	cosign := extra(t, "cosign")
	crane := commandFor("crane")
	dir := t.TempDir()
	cosign = append(command{"env", "-C", dir, "COSIGN_PASSWORD=", "HOME=" + dir}, cosign...)
	run := func(args ...string) string {
		t.Helper()
		out, err := cosign.output(deadline(t), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	image := startRegistry(t, crane) + "/app"
	if _, err := crane.output(deadline(t), "push", archivePath(t, "plain.crane.tar"), image+":1"); err != nil {
		t.Fatal(err)
	}
	digest, err := crane.output(deadline(t), "digest", image+":1")
	if err != nil {
		t.Fatal(err)
	}
	run("generate-key-pair")
	run("sign", "--key", "cosign.key", "--tlog-upload=false", "--yes", "--allow-http-registry", image+"@"+digest)
	run("save", "--dir", filepath.Join(dir, "saved"), "--allow-http-registry", image+"@"+digest)

	p := newProgram(t)
	addr := freeAddr(t)
	p.serve(t, addr)
	lines, err := p.publish(deadline(t), filepath.Join(dir, "saved"), false, "-r", addr)
	if err != nil || len(lines) != 1 {
		t.Fatalf("published %q (%v), want one image", lines, err)
	}
	name, _, _ := strings.Cut(lines[0], "@")
	pinned := name + "@" + digest
	out := run("verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry", "--output", "json", pinned)
	if !strings.Contains(out, digest) {
		t.Errorf("cosign verify said %s, want the digest %s", out, digest)
	}
	if out := run("tree", "--allow-http-registry", pinned); !strings.Contains(out, ".sig") && !strings.Contains(out, "ignature") {
		t.Errorf("cosign tree lists no signature: %s", out)
	}
	strange := filepath.Join(dir, "strange")
	if err := os.Mkdir(strange, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := append(command{"env", "-C", strange, "COSIGN_PASSWORD="}, cosign[4:]...).output(deadline(t), "generate-key-pair"); err != nil {
		t.Fatal(err)
	}
	if out, err := cosign.output(deadline(t), "verify", "--key", "strange/cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry", pinned); err == nil {
		t.Errorf("verified with another key: %s", out)
	}
}
