//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTrust has cosign 2 and 3 sign what was pushed, by tag and by referrer, and asks
// verify, pull, and servers that require a signature.
func TestTrust(t *testing.T) {
	for _, version := range []string{"cosign", "cosign3"} {
		t.Run(version, func(t *testing.T) { trusted(t, version) })
	}
}

func trusted(t *testing.T, version string) {
	dir := t.TempDir()
	cosign := in(dir, extra(t, version))
	s := startPush(t)
	cosign(t, "generate-key-pair")
	cosign(t, "generate-key-pair", "--output-key-prefix", "other")
	key, other := filepath.Join(dir, "cosign.pub"), filepath.Join(dir, "other.pub")
	offline := []string{"--key", "cosign.key", "--tlog-upload=false", "--yes", "--allow-http-registry"}
	if version == "cosign3" {
		offline = append(offline, "--use-signing-config=false")
	}
	if err := os.WriteFile(filepath.Join(dir, "predicate.json"), []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	image := s.push + "/app@" + s.digest
	exits := func(code int, args ...string) {
		t.Helper()
		argv := append(s.command(), args...)
		cmd := exec.CommandContext(deadline(t), argv[0], argv[1:]...)
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != code {
			t.Errorf("%s: exit code %d, want %d: %s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), code, out)
		}
	}

	exits(7, "verify", "--key", key, "app:1")
	cosign(t, append([]string{"attest", "--type", "custom", "--predicate", "predicate.json"}, append(slices.Clone(offline), image)...)...)
	exits(7, "verify", "--key", key, "app:1")
	cosign(t, append(append([]string{"sign"}, offline...), image)...)
	exits(0, "verify", "--key", key, "app:1")
	exits(7, "verify", "--key", other, "app:1")
	exits(0, "pull", "--require-signature", key, "--to", "oci:"+filepath.Join(dir, "good"), "app:1")
	exits(7, "pull", "--require-signature", other, "--to", "oci:"+filepath.Join(dir, "bad"), "app:1")

	addr := freeAddr(t)
	s.serve(t, addr, "--require-signature", key)
	strict := freeAddr(t)
	s.serve(t, strict, "--require-signature", other)
	name := s.ciq(t, "app:1")
	for server, want := range map[string]int{addr: http.StatusOK, strict: http.StatusForbidden} {
		for _, reference := range []string{"1", s.digest} {
			resp, err := http.Get("http://" + server + "/v2/" + name + "/app/manifests/" + reference)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s of %s: %s, want %d", reference, server, resp.Status, want)
			}
		}
	}
	verify := []string{"verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry", addr + "/" + name + "/app@" + s.digest}
	if out := cosign(t, verify...); !strings.Contains(out, s.digest) {
		t.Errorf("cosign says of a server that requires signatures: %s", out)
	}
	results.progress("%s has signed what only then is served", version)
}
