//go:build e2e && linux

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// ordinary is Debian's docker-registry, with TLS and a password.
type ordinary struct {
	addr   string
	log    string
	config string // directory of the client's certificates, as $XDG_CONFIG_HOME
	login  string // directory of the client's credentials, as $DOCKER_CONFIG
}

const password = "secret"

// write writes a file below a directory and gives its path.
func write(t *testing.T, data []byte, path ...string) string {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func startOrdinary(t *testing.T) ordinary {
	t.Helper()
	dir := t.TempDir()
	r := ordinary{addr: freeAddr(t), log: filepath.Join(dir, "registry.log"), config: filepath.Join(dir, "config"), login: filepath.Join(dir, "login")}
	cert, key := certificate(t)
	authority, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, fmt.Appendf(nil, `version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
auth: {htpasswd: {realm: test, path: %s}}
http: {addr: %q, tls: {certificate: %s, key: %s}}
`, filepath.Join(dir, "data"), write(t, fmt.Appendf(nil, "user:%s\n", hash), dir, "htpasswd"), r.addr, cert, key), dir, "config.yml")
	write(t, authority, r.config, "docker", "certs.d", r.addr, "ca.crt")
	auth := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	write(t, fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, r.addr, auth), r.login, "config.json")
	s := start(t, command{"docker-registry", "serve", config}, r.log, process.Listens(&net.Dialer{}, "tcp", r.addr))
	t.Cleanup(s.Kill)
	return r
}

// client is image2ipfs that trusts the registry, and is logged in if it is to be.
func (r ordinary) client(p program, loggedIn bool) command {
	login := r.login
	if !loggedIn {
		login = filepath.Join(r.login, "none")
	}
	return append(command{"env", "XDG_CONFIG_HOME=" + r.config, "DOCKER_CONFIG=" + login, "REGISTRY_AUTH_FILE=" + filepath.Join(login, "none")}, p.command()...)
}

// blobsRead counts the blobs that clients have read.
func (r ordinary) blobsRead(t *testing.T) int {
	t.Helper()
	log, err := os.ReadFile(r.log)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "\"GET /v2/") && strings.Contains(line, "/blobs/sha256:") {
			n++
		}
	}
	return n
}

// said is what publish --json says.
type said struct {
	NewBytes int64
	Images   []struct{ PullName, Digest string }
}

func publishSaid(t *testing.T, c command, args ...string) said {
	t.Helper()
	out, err := c.output(deadline(t), append([]string{"publish", "--json"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var s said
	if err := json.Unmarshal([]byte(out), &s); err != nil || len(s.Images) == 0 {
		t.Fatalf("%q: %v", out, err)
	}
	return s
}

// An image goes to a registry that wants TLS and a password, and comes from there, with
// all platforms, as the same root; what is known is not fetched again; whoever is not
// logged in is told how.
func TestOrdinaryRegistry(t *testing.T) {
	r := startOrdinary(t)
	p := newProgram(t)
	published, err := p.publish(deadline(t), archivePath(t, "platforms.buildkit.tar"), false)
	if err != nil {
		t.Fatal(err)
	}
	name := "docker://" + r.addr + "/platforms:1"
	if _, err := r.client(p, false).output(deadline(t), "pull", "--to", name, "platforms:1"); err == nil || !strings.Contains(err.Error(), "docker login "+r.addr) {
		t.Fatalf("without a password: %v", err)
	}
	for range 2 {
		got, err := r.client(p, true).output(deadline(t), "pull", "--to", name, "platforms:1")
		if err != nil || got != r.addr+"/platforms:1" {
			t.Fatalf("pushed as %q: %v", got, err)
		}
	}
	if _, err := r.client(p, true).output(deadline(t), "pull", "--to", "docker://"+r.addr+"/other/platforms:2", "platforms:1"); err != nil {
		t.Error(err) // its blobs are mounted from the first
	}
	if c := commandFor("skopeo"); c != nil {
		raw, err := c.bytes(deadline(t), "inspect", "--raw", "--tls-verify=false", "--creds=user:"+password, name)
		want, wantErr := p.command().output(deadline(t), "inspect", "--json", "platforms:1")
		if err != nil || wantErr != nil || !strings.Contains(want, digestOf(raw)) {
			t.Errorf("skopeo finds %s (%v, %v), published was %s", digestOf(raw), err, wantErr, want)
		}
	}
	fresh := newProgram(t)
	if _, err := r.client(fresh, false).output(deadline(t), "publish", name); err == nil || !strings.Contains(err.Error(), "docker login "+r.addr) {
		t.Errorf("without a password: %v", err)
	}
	got := publishSaid(t, r.client(fresh, true), name)
	if got.Images[0].PullName != published[0] || got.NewBytes <= 0 {
		t.Errorf("%+v, from the archive it was %s", got, published[0])
	}
	before := r.blobsRead(t)
	if again := publishSaid(t, r.client(fresh, true), name); again.NewBytes != 0 || again.Images[0].PullName != published[0] {
		t.Errorf("again: %+v", again)
	}
	if n := r.blobsRead(t) - before; n > 6 { // configs, which tell platforms
		t.Errorf("%d blobs were read again", n)
	}
	one := publishSaid(t, r.client(fresh, true), "--platform", "linux/arm64", name)
	if one.Images[0].Digest == got.Images[0].Digest {
		t.Errorf("one platform is %+v", one)
	}
	if _, err := r.client(fresh, true).output(deadline(t), "publish", "docker://"+r.addr+"/platforms:9"); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "manifest 9") {
		t.Errorf("a tag that is not there: %v", err)
	}
	list := write(t, fmt.Appendf(nil, "# all\n%s\n%s\n%s\n", name, strings.Replace(name, ":1", ":9", 1), strings.Replace(name, "platforms:1", "other/platforms:2", 1)), t.TempDir(), "list")
	out, err := r.client(fresh, true).output(deadline(t), "publish", "--from", list)
	if lines := strings.Split(out, "\n"); err == nil || len(lines) != 2 || lines[0] != published[0] || !strings.HasSuffix(lines[1], "/other/platforms") {
		t.Errorf("the list: %q, %v", out, err)
	}
	results.progress("docker-registry with TLS and a password: out and in again")
}

// What refers to an image, by subject and by cosign's tags, comes with it.
func TestReferrersFromRegistry(t *testing.T) {
	crane, oras, skopeo := commandFor("crane"), commandFor("oras"), commandFor("skopeo")
	if crane == nil || oras == nil || skopeo == nil {
		missing(t, "referrers from a registry", "crane, oras or skopeo not there")
		return
	}
	addr := startRegistry(t, crane)
	image := addr + "/team/app:1"
	if _, err := skopeo.output(deadline(t), "copy", "--all", "--dest-tls-verify=false", "oci:"+archivePath(t, "small.skopeo")+":small:1", "docker://"+image); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, []byte("checked\n"), dir, "notes.txt")
	oras = append(command{"env", "-C", dir, "HOME=" + dir}, oras...)
	const kind = "application/vnd.example.notes"
	if _, err := oras.output(deadline(t), "attach", "--plain-http", "--artifact-type", kind, image, "notes.txt:text/plain"); err != nil {
		t.Fatal(err)
	}
	digest, err := crane.output(deadline(t), "digest", "--insecure", image)
	if err != nil {
		t.Fatal(err)
	}
	signature := strings.Replace(digest, ":", "-", 1) + ".sig"
	if _, err := crane.output(deadline(t), "push", "--insecure", archivePath(t, "plain.crane.tar"), addr+"/team/app:"+signature); err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	got := publishSaid(t, p.command(), "docker://"+image)
	ours := freeAddr(t)
	p.serve(t, ours)
	_, rest, _ := strings.Cut(got.Images[0].PullName, "/")
	out, err := oras.output(deadline(t), "discover", "--plain-http", "--format", "json", ours+"/"+rest+"@"+digest)
	if err != nil || !strings.Contains(out, kind) {
		t.Errorf("oras discovers %s (%v), want %s", out, err, kind)
	}
	if _, err := crane.output(deadline(t), "digest", "--insecure", ours+"/"+rest+":"+signature); err != nil {
		t.Errorf("cosign's tag: %v", err)
	}
	// and out again, to another repository
	if _, err := p.command().output(deadline(t), "pull", "--to", "docker://"+addr+"/copy/app:2", got.Images[0].PullName); err != nil {
		t.Fatal(err)
	}
	out, err = oras.output(deadline(t), "discover", "--plain-http", "--format", "json", addr+"/copy/app@"+digest)
	if err != nil || !strings.Contains(out, kind) {
		t.Errorf("in the copy oras discovers %s (%v), want %s", out, err, kind)
	}
	if _, err := crane.output(deadline(t), "digest", "--insecure", addr+"/copy/app:"+signature); err != nil {
		t.Errorf("cosign's tag of the copy: %v", err)
	}
}

// An image goes into podman by its service, and runs.
func TestIntoPodman(t *testing.T) {
	for _, name := range []string{"podman", "podman5"} {
		c := commandFor(name)
		if c == nil {
			missing(t, name, "not there")
			continue
		}
		socket := podmanService(t, c)
		p := newProgram(t)
		lines, err := p.publish(deadline(t), archivePath(t, "small.docker20.tar"), false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.command().output(deadline(t), "pull", "--to", "podman", "--podman-host=unix://"+socket, lines[0])
		if err != nil {
			t.Fatal(err)
		}
		e := podman{c}
		if text, err := e.Cat(deadline(t), got, "/etc/message"); err != nil || text == "" {
			t.Errorf("%s: %s does not run: %q, %v", name, got, text, err)
		}
		if err := e.Remove(deadline(t), got); err != nil {
			t.Error(err)
		}
	}
}
