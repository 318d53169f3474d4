//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pushSite is a server that takes pushes, and has an image of skopeo's.
type pushSite struct {
	program
	addr, push string
	digest     string // of that image, which is called app:1
}

func startPush(t *testing.T) pushSite {
	t.Helper()
	s := pushSite{program: newProgram(t), addr: freeAddr(t), push: freeAddr(t)}
	s.serve(t, s.addr, "--push", s.push)
	skopeo := commandFor("skopeo")
	if skopeo == nil {
		missing(t, "skopeo", "not there")
		t.SkipNow()
	}
	_, err := skopeo.output(deadline(t), "copy", "--all", "--dest-tls-verify=false", "oci:"+archivePath(t, "small.skopeo")+":small:1", "docker://"+s.push+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	s.digest, err = skopeo.output(deadline(t), "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://"+s.push+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ciq is the root that a name is now.
func (s pushSite) ciq(t *testing.T, name string) string {
	t.Helper()
	ciq, err := s.command().output(deadline(t), "ref", "-f", "ciq", name)
	if err != nil {
		t.Fatal(err)
	}
	return ciq
}

// in is a command of a tool that works in a directory, which is its home.
func in(dir string, c command) func(t *testing.T, args ...string) string {
	c = append(command{"env", "-C", dir, "HOME=" + dir, "COSIGN_PASSWORD="}, c...)
	return func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := c.output(deadline(t), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// Engines that keep images push what they have pulled, and builds push and keep their
// cache there, from which another build goes on.
func TestPushEngines(t *testing.T) {
	s := startPush(t)
	for _, engine := range []string{"containerd16", "containerd2"} {
		t.Run(engine, func(t *testing.T) {
			ctr := commandFor(engine)
			if ctr == nil {
				missing(t, engine, "not there")
				t.SkipNow()
			}
			if _, err := ctr.output(deadline(t), "images", "pull", s.push+"/app:1"); err != nil {
				t.Fatal(err)
			}
			if _, err := ctr.output(deadline(t), "images", "push", "--platform", host, s.push+"/"+engine+":1", s.push+"/app:1"); err != nil {
				t.Fatal(err)
			}
			checkPushed(t, s.program, s.addr, s.push, []string{engine + ":1"})
			results.progress("%s has pushed", engine)
		})
	}
	t.Run("buildkit", s.builds)
}

// builds has BuildKit push an image and its cache, and build again from that.
func (s pushSite) builds(t *testing.T) {
	at := newPlace(t, "dockerd28", "docker")
	docker := commandFor("dockerd28")
	busybox, err := os.ReadFile(filepath.Join(workDir(t), "sources", "small", "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	at.write(t, "src/Dockerfile", randomly)
	at.write(t, "src/busybox", string(busybox))
	if err := os.Chmod(at.outer("src/busybox"), 0o755); err != nil {
		t.Fatal(err)
	}
	cache := "type=registry,ref=" + s.push + "/built:cache"
	build := func(tag string, args ...string) {
		t.Helper()
		args = append([]string{"buildx", "build", "--push", "--tag", s.push + "/built:" + tag}, args...)
		if _, err := docker.output(deadline(t), append(args, at.inner("src"))...); err != nil {
			t.Fatal(err)
		}
		if _, err := docker.output(deadline(t), "builder", "prune", "--all", "--force"); err != nil {
			t.Fatal(err)
		}
	}
	build("1", "--cache-to", cache+",mode=max")
	build("2", "--cache-from", cache)
	skopeo := commandFor("skopeo")
	layers := func(tag string) string {
		out, err := skopeo.output(deadline(t), "inspect", "--tls-verify=false", "--format", "{{.Layers}}", "docker://"+s.push+"/built:"+tag)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if one, two := layers("1"), layers("2"); one != two {
		t.Errorf("a file that cannot be made twice: layers %s, and from the cache %s", one, two)
	}
	for _, tag := range []string{"1", "2"} {
		if _, err := s.command().output(deadline(t), "verify", "built:"+tag); err != nil {
			t.Error(err)
		}
	}
	results.progress("buildkit has pushed an image and a cache")
}

// An artifact is pushed and attached, listed and pulled back; what is attached travels
// with the CID that the image has from then on, and not with that from before.
func TestPushArtifacts(t *testing.T) {
	tool := commandFor("oras")
	if tool == nil {
		missing(t, "oras", "not there (hack/engines.sh tools builds it)")
		t.SkipNow()
	}
	s := startPush(t)
	dir := t.TempDir()
	oras := in(dir, tool)
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("checked\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := s.ciq(t, "app:1")
	oras(t, "push", "--plain-http", s.push+"/notes:1", "--artifact-type", "application/vnd.example.notes", "notes.txt:text/plain")
	oras(t, "attach", "--plain-http", s.push+"/app:1", "--artifact-type", "application/vnd.example.notes", "notes.txt:text/plain")
	after := s.ciq(t, "app:1")
	listed := func(name string) int {
		var found struct {
			Referrers []struct{ Digest string } `json:"referrers"`
		}
		if err := json.Unmarshal([]byte(oras(t, "discover", "--plain-http", "--format", "json", name)), &found); err != nil {
			t.Fatal(err)
		}
		return len(found.Referrers)
	}
	for name, want := range map[string]int{
		s.push + "/app:1": 1, s.addr + "/" + after + "/app:1": 1, s.addr + "/" + before + "/app:1": 0,
	} {
		if got := listed(name); got != want {
			t.Errorf("%s has %d referrers, want %d", name, got, want)
		}
	}
	for i, name := range []string{s.push + "/notes:1", s.addr + "/" + s.ciq(t, "notes:1") + "/notes:1"} {
		got := fmt.Sprint("got", i)
		oras(t, "pull", "--plain-http", "-o", got, name)
		if text, err := os.ReadFile(filepath.Join(dir, got, "notes.txt")); err != nil || string(text) != "checked\n" {
			t.Errorf("%s is %q (%v)", name, text, err)
		}
	}
	results.progress("oras has pushed")
}

// cosign signs and attests in the registry, and verifies there and by the CID that came
// of it.
func TestPushSignatures(t *testing.T) {
	dir := t.TempDir()
	cosign := in(dir, extra(t, "cosign"))
	s := startPush(t)
	image := s.push + "/app@" + s.digest
	cosign(t, "generate-key-pair")
	if err := os.WriteFile(filepath.Join(dir, "predicate.json"), []byte(`{"made":"here"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cosign(t, "sign", "--key", "cosign.key", "--tlog-upload=false", "--yes", "--allow-http-registry", image)
	cosign(t, "attest", "--key", "cosign.key", "--tlog-upload=false", "--yes", "--allow-http-registry", "--type", "custom", "--predicate", "predicate.json", image)
	for _, name := range []string{image, s.addr + "/" + s.ciq(t, "app:1") + "/app@" + s.digest} {
		verify := []string{"--key", "cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry"}
		if out := cosign(t, append(append([]string{"verify"}, verify...), name)...); !strings.Contains(out, s.digest) {
			t.Errorf("%s: cosign verify said %s", name, out)
		}
		cosign(t, append(append([]string{"verify-attestation", "--type", "custom"}, verify...), name)...)
		if out := cosign(t, "tree", "--allow-http-registry", name); !strings.Contains(out, "ignature") || !strings.Contains(out, "ttestation") {
			t.Errorf("%s: cosign tree lists %s", name, out)
		}
	}
	results.progress("cosign has signed and attested")
}
