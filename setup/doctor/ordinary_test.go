package doctor

// Names without a CID: how far they go is told as it is, and none leaves this machine
// where the engine can be led to a stand-in.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestMain is podman or nerdctl, too, when a test has called itself as such.
func TestMain(m *testing.M) {
	if kind := os.Getenv("DOCTOR_TEST_ENGINE"); kind != "" {
		os.Exit(pullAs(kind, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// pullAs pulls a name of docker.io: from the mirror, and then, unless it is held, from
// Docker Hub, which it never reaches without a proxy.
func pullAs(kind string, args []string) int {
	if args[0] != "pull" {
		return 1
	}
	mirror := os.Getenv("DOCTOR_TEST_MIRROR")
	resp, err := http.Get(mirror + "/v2/library/x/manifests/latest")
	if err != nil || resp.StatusCode != http.StatusNotFound {
		fmt.Fprintln(os.Stderr, "the mirror:", err)
		return 2
	}
	host := strings.TrimPrefix(mirror, "http://")
	if os.Getenv("DOCTOR_TEST_HELD") != "" {
		if kind == "nerdctl" {
			host = "docker.io"
		}
		fmt.Fprintf(os.Stderr, "reading manifest latest in %s/library/x: manifest unknown\n", host)
		return 125
	}
	if os.Getenv("HTTPS_PROXY") == "" {
		fmt.Fprintf(os.Stderr, "(Mirrors also failed: [%s/library/x: reading manifest latest in %s/library/x: manifest unknown]): docker.io/library/x: reading manifest latest in docker.io/library/x: requested access to the resource is denied\n", host, host)
		return 125
	}
	_, err = http.Get("https://registry-1.docker.io/v2/")
	fmt.Fprintf(os.Stderr, "docker.io/library/x: %v\n", err)
	return 125
}

func TestOrdinaryNamesOfContainerd(t *testing.T) {
	_, _, url := published(t)
	host := "[host.\"" + url + "\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
	local := strings.Replace(url, "127.0.0.1", "localhost", 1)
	for name, c := range map[string]struct{ toml, detail string }{
		"as setup writes it":         {host, "go on to registry-1.docker.io"},
		"another mirror":             {host + "[host.\"https://mirror.example\"]\n  capabilities = [\"pull\", \"resolve\"]\n", "go on to mirror.example, registry-1.docker.io"},
		"another registry":           {"server = \"http://cache.example:8080\"\n" + host, "go on to cache.example:8080"},
		"the server as the registry": {"server = \"" + url + "\"\n" + host, ""},
		"by another name":            {"server = \"" + local + "\"\n[host.\"" + local + "\"]\n  capabilities = [\"pull\", \"resolve\"]\n", ""},
	} {
		certs := t.TempDir()
		if err := os.MkdirAll(filepath.Join(certs, "docker.io"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(certs, "docker.io", "hosts.toml"), []byte(c.toml), 0o644); err != nil {
			t.Fatal(err)
		}
		e := &containerd{kind: "containerd", certs: certs}
		detail, err := ordinary(t.Context(), Options{Server: url}, e)
		if (err == nil) != (c.detail != "") || !strings.HasSuffix(detail, c.detail) || err != nil && !errors.Is(err, errHeld) {
			t.Errorf("%s: %q (%v)", name, detail, err)
		}
		if next := e.Beyond(Options{}); !strings.Contains(next, certs+"/docker.io/hosts.toml") {
			t.Error(next)
		}
	}
}

func TestOrdinaryNamesOfPrograms(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("env is not there")
	}
	_, probe, url := published(t)
	t.Setenv("DOCTOR_TEST_MIRROR", url)
	for _, v := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		t.Setenv(v, "")
	}
	certs := t.TempDir()
	if err := os.MkdirAll(filepath.Join(certs, "docker.io"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"podman", "nerdctl"} {
		t.Setenv("DOCTOR_TEST_ENGINE", kind)
		p := &program{kind: kind, command: []string{os.Args[0]}, server: url, certs: certs}
		t.Setenv("DOCTOR_TEST_HELD", "")
		if detail, err := ordinary(t.Context(), Options{Server: url}, p); err != nil || !strings.HasSuffix(detail, "go on to registry-1.docker.io") {
			t.Errorf("%s: %q (%v)", kind, detail, err)
		}
		// Whoever takes no proxy, such as podman on another machine, is told by its error.
		p.command = []string{"env", "HTTPS_PROXY=", os.Args[0]}
		if detail, err := ordinary(t.Context(), Options{Server: url}, p); kind == "podman" && (err != nil || !strings.HasSuffix(detail, "go on to docker.io")) {
			t.Errorf("%s without proxy: %q (%v)", kind, detail, err)
		}
		t.Setenv("DOCTOR_TEST_HELD", "yes")
		toml := "server = \"" + url + "\"\n[host.\"" + url + "\"]\n"
		if err := os.WriteFile(filepath.Join(certs, "docker.io", "hosts.toml"), []byte(toml), 0o644); err != nil {
			t.Fatal(err)
		}
		c := try(t.Context(), Options{Server: url}, held{p}, probe)
		want := "registries.conf"
		if kind == "nerdctl" {
			want = "hosts.toml"
		}
		says(t, c, Problem, "ordinary names do not go on from the mirror", want)
	}
}

// held pulls the probe, and ordinary names as the program does.
type held struct{ *program }

func (held) Try(context.Context, string, digest.Digest) (string, error) { return "it", nil }

func TestOrdinaryNamesOfDocker(t *testing.T) {
	_, probe, url := published(t)
	for ordinary, want := range map[string]struct{ status, detail string }{
		"": {OK, "go on to docker.io"},
		`Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host`: {OK, "go on to docker.io, which cannot be reached from here"},
		"docker.io/library/x:latest: not found":                                                       {OK, "go on to docker.io, as always in dockerd"},
		"an image":                                                                                    {Problem, "an image came for a name that nobody has"},
		"hangs":                                                                                       {OK, "docker.io, or a mirror before it, cannot be reached"},
	} {
		d := &fakeDocker{t: t, mirrors: []string{url + "/"}, digest: probe.Digest.String(), ordinary: ordinary}
		api := httptest.NewServer(d)
		o := Options{Server: url, Engines: []string{"docker"}, Docker: []string{"tcp://" + strings.TrimPrefix(api.URL, "http://")}, root: t.TempDir()}
		if ordinary == "hangs" {
			o.Timeout = 3 * time.Second // which is enough for the pull of the probe
		}
		got := engines(t, o, probe)
		next := ""
		if want.status == Problem {
			next = "registry-mirrors (" + url
		}
		says(t, got[0], want.status, want.detail, next)
		api.Close()
	}
}

// What engines say, as they were seen to.
func TestOrdinaryErrors(t *testing.T) {
	for text, want := range map[string]string{
		"pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed": "ordinary names go on to docker.io",
		`failed to do request: Head "https://registry-1.docker.io/v2/library/x/manifests/latest": dial tcp 1.2.3.4:443: i/o timeout`:           "ordinary names go on to docker.io, which cannot be reached from here",
		"toomanyrequests: You have reached your pull rate limit":                                                                               "ordinary names go on to docker.io",
	} {
		if got, err := (onward{err: errors.New(text)}).tell(); err != nil || got != want {
			t.Errorf("%s: %q (%v)", text, got, err)
		}
	}
	const podman = "initializing source docker://docker.io/library/x:latest: "
	const mirror = "(Mirrors also failed: [127.0.0.1:5000/library/x:latest: reading manifest latest in 127.0.0.1:5000/library/x: manifest unknown]): docker.io/library/x:latest: "
	for text, want := range map[string]string{
		podman + "reading manifest latest in 127.0.0.1:5000/library/x: manifest unknown":                                                                                                         "",
		podman + "reading manifest latest in localhost:5000/library/x: manifest unknown":                                                                                                         "",
		podman + mirror + "reading manifest latest in docker.io/library/x: requested access to the resource is denied":                                                                           "ordinary names go on to docker.io",
		podman + mirror + "reading manifest latest in 127.0.0.1:6000/library/x: manifest unknown":                                                                                                "ordinary names go on to 127.0.0.1:6000",
		podman + mirror + `pinging container registry registry-1.docker.io: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: Temporary failure in name resolution`: "ordinary names go on to registry-1.docker.io, which cannot be reached from here",
		"something new": "where ordinary names go its error does not tell: something new",
	} {
		if got, err := byPodman(errors.New(text), "http://127.0.0.1:5000").tell(); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q (%v)", text, got, err)
		}
	}
}
