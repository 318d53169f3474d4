package doctor

// What doctor says about servers and engines in every state; the engines are
// stand-ins here, real ones are in test/e2e/.

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/server"
)

// published is a store with the probe and a server for it.
func published(t *testing.T) (*packstore.Store, *Probe, string) {
	t.Helper()
	store, err := packstore.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	probe, check := Store(t.Context(), store, store.Path())
	if check.Status != OK {
		t.Fatalf("%+v", check)
	}
	return store, probe, serve(t, store)
}

// serve serves a store, which is closed with it.
func serve(t *testing.T, store *packstore.Store) string {
	t.Helper()
	s, err := server.New(server.Config{Local: store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, s.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// The name must not change from run to run, or engines would fetch and keep new
// images each time; and nothing stays published.
func TestProbe(t *testing.T) {
	store, probe, _ := published(t)
	again, err := Publish(t.Context(), store)
	if err != nil || again.Name() != probe.Name() || again.Digest != probe.Digest {
		t.Fatalf("published %v and then %v (%v)", probe, again, err)
	}
	if _, err := ipfs.Verify(t.Context(), store, probe.Root, func(int) {}); err != nil {
		t.Error(err)
	}
	if err := again.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if roots, err := store.Roots(t.Context()); err != nil || len(roots) != 2 { // the image and a nonce
		t.Errorf("what was there before is gone: %v (%v)", roots, err)
	}
	if err := probe.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if roots, err := store.Roots(t.Context()); err != nil || len(roots) != 0 {
		t.Errorf("left: %v (%v)", roots, err)
	}
}

func TestServer(t *testing.T) {
	_, probe, url := published(t)
	store, err := packstore.Open(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	empty := serve(t, store)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer proxy.Close()
	asks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer asks.Close()
	reads := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer reads.Close()
	elsewhere := *probe
	elsewhere.Digest = "sha256:0000"
	for name, c := range map[string]struct {
		url    string
		probe  *Probe
		detail string // empty when all is well
	}{
		"right":        {url, probe, ""},
		"no store":     {url, nil, ""},
		"nobody":       {"http://127.0.0.1:1", probe, "nothing listens"},
		"no server":    {other.URL, probe, "something else listens"},
		"for pushes":   {asks.URL, probe, "address for pushes"},
		"asks":         {reads.URL, probe, "--auth-read"},
		"always 200":   {proxy.URL, probe, "expected 404"},
		"other store":  {empty, probe, "it serves another store"},
		"other digest": {url, &elsewhere, "instead of sha256:0000"},
	} {
		check := Server(t.Context(), c.url, c.probe)
		if (check.Status == OK) != (c.detail == "") || !strings.Contains(check.Detail, c.detail) {
			t.Errorf("%s: %+v", name, check)
		}
	}
	if check := Gateway(t.Context(), url); check.Status != OK {
		t.Errorf("a server as gateway: %+v", check)
	}
	if check := Gateway(t.Context(), "http://127.0.0.1:1"); check.Status != Problem || check.Next == "" {
		t.Errorf("no gateway: %+v", check)
	}
}

// fakeDocker is a stand-in for dockerd.
type fakeDocker struct {
	t       *testing.T
	mirrors []string
	digest  string // that a pull gives; empty when it fails
	hangs   bool
	image   bool // it has the probe
	removed int

	others   int    // times that it was asked for a name that nobody has
	ordinary string // what it says of a name that nobody has; a refusal of Docker Hub's when empty
}

func (d *fakeDocker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/v1."); ok {
		path = rest[strings.Index(rest, "/"):]
	}
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			d.t.Error(err)
		}
	}
	switch {
	case path == "/_ping":
		w.Header().Set("Api-Version", "1.44")
	case path == "/info":
		answer(http.StatusOK, map[string]any{"ServerVersion": "1.2.3", "Driver": "none", "RegistryConfig": map[string]any{"Mirrors": d.mirrors}})
	case path == "/images/create" && strings.Contains(r.FormValue("fromImage"), probeName+"-"):
		d.others++
		switch d.ordinary {
		case "":
			answer(http.StatusNotFound, map[string]string{"message": "pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"})
		case "hangs":
			<-r.Context().Done()
		case "an image":
			answer(http.StatusOK, map[string]string{"status": "Digest: sha256:1"})
		default:
			answer(http.StatusNotFound, map[string]string{"message": d.ordinary})
		}
	case path == "/images/create" && d.hangs:
		<-r.Context().Done()
	case path == "/images/create" && d.digest == "":
		answer(http.StatusNotFound, map[string]string{"message": "manifest unknown"})
	case path == "/images/create":
		d.image = true
		answer(http.StatusOK, map[string]string{"status": "Digest: " + d.digest})
	case r.Method == http.MethodDelete:
		d.removed++
		answer(http.StatusOK, []any{})
	case strings.HasPrefix(path, "/images/") && d.image:
		answer(http.StatusOK, map[string]string{"Id": "sha256:1"})
	default:
		answer(http.StatusNotFound, map[string]string{"message": "no such image"})
	}
}

func TestDocker(t *testing.T) {
	_, probe, url := published(t)
	right := probe.Digest.String()
	for name, c := range map[string]struct {
		docker  fakeDocker
		status  string
		detail  string
		next    string
		removed int
	}{
		"right":          {fakeDocker{mirrors: []string{url + "/"}, digest: right}, OK, "1.2.3", "", 1},
		"there before":   {fakeDocker{digest: right, image: true}, OK, "1.2.3", "", 0},
		"other image":    {fakeDocker{digest: "sha256:1"}, Problem, "instead of " + right, "setup docker", 1},
		"not configured": {fakeDocker{}, Problem, "manifest unknown", "setup docker --yes --server " + url, 0},
		"does not help":  {fakeDocker{mirrors: []string{url}}, Problem, "manifest unknown", "dockerd's log", 0},
		"hangs":          {fakeDocker{hangs: true}, Problem, "no answer within", "setup docker", 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.docker
			d.t = t
			api := httptest.NewServer(&d)
			defer api.Close()
			o := Options{Server: url, Engines: []string{"docker"}, Docker: []string{"tcp://" + strings.TrimPrefix(api.URL, "http://")}, root: t.TempDir()}
			if d.hangs {
				o.Timeout = 500 * time.Millisecond
			}
			got := engines(t, o, probe)
			if len(got) != 1 || got[0].Status != c.status || !strings.Contains(got[0].Detail, c.detail) || !strings.Contains(got[0].Next, c.next) {
				t.Errorf("got %+v", got)
			}
			if d.removed != c.removed {
				t.Errorf("removed %d times, expected %d", d.removed, c.removed)
			}
			if (d.others > 0) != (c.status == OK) {
				t.Errorf("asked for an ordinary name %d times", d.others)
			}
		})
	}
	o := Options{Server: url, Engines: []string{"docker"}, Docker: []string{"unix:///nonexistent/docker.sock"}, root: t.TempDir()}
	if got := engines(t, o, probe); got[0].Status != Problem || !strings.Contains(got[0].Next, "systemctl start docker") {
		t.Errorf("no dockerd: %+v", got)
	}
	if got := engines(t, o, nil); got[0].Status != Skipped {
		t.Errorf("no server: %+v", got)
	}
}

func engines(t *testing.T, o Options, probe *Probe) (checks []Check) {
	t.Helper()
	Engines(t.Context(), o, probe, func(c Check) { checks = append(checks, c) })
	return checks
}

func TestProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in is a shell script")
	}
	_, probe, url := published(t)
	dir, root := t.TempDir(), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// The image is a file, which pull makes and rmi removes.
	image := filepath.Join(dir, "image")
	works := write("works", `case $1 in
--version) echo podman version 9 ;;
pull) case $3 in docker.io/library/*) echo "docker.io/library/x: requested access to the resource is denied" >&2; exit 125 ;; esac; touch `+image+` ;;
image) [ -e `+image+` ] || exit 1; echo '["docker.io/x@`+probe.Digest.String()+`"]' ;;
rmi) rm `+image+` ;;
esac`)
	fails := write("fails", `case $1 in --version) echo 1 ;; *) echo "Error: short name did not resolve" >&2; exit 125 ;; esac`)
	hangs := write("hangs", `case $1 in pull) exec sleep 100 ;; image) exit 1 ;; esac`)
	try := func(command string) Check {
		o := Options{Server: url, Engines: []string{"podman"}, Podman: []string{command}, root: root}
		if command == hangs {
			o.Timeout = time.Second
		}
		return engines(t, o, probe)[0]
	}
	if c := try(works); c.Status != OK {
		t.Errorf("%+v", c)
	}
	if _, err := os.Stat(image); !os.IsNotExist(err) {
		t.Errorf("the image was left (%v)", err)
	}
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if c := try(works); c.Status != OK {
		t.Errorf("%+v", c)
	}
	if _, err := os.Stat(image); err != nil {
		t.Errorf("the user's image was removed: %v", err)
	}
	if c := try(fails); c.Status != Problem || !strings.Contains(c.Detail, "short name") || !strings.Contains(c.Next, "setup podman") {
		t.Errorf("%+v", c)
	}
	if c := try(hangs); c.Status != Problem || !strings.Contains(c.Detail, "no answer within") {
		t.Errorf("%+v", c)
	}
	t.Setenv("PATH", dir)
	if got := engines(t, Options{Engines: []string{"podman", "nerdctl"}, root: root}, probe); len(got) != 2 || got[0].Status != Problem {
		t.Errorf("engines that are not there: %+v", got)
	}
}
