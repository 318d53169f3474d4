package source

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/engine"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Skopeo's spellings mean what they mean for skopeo; what is a path stays one.
func TestParse(t *testing.T) {
	for arg, want := range map[string]Spec{
		"app.tar":                {file, "app.tar"},
		"-":                      {file, "-"},
		"./docker-daemon:app":    {file, "./docker-daemon:app"},
		"C:\\app.tar":            {file, "C:\\app.tar"},
		"oci:dir":                {file, "dir"},
		"docker-archive:app.tar": {file, "app.tar"},
		"docker-daemon:app:1":    {dockerDaemon, "app:1"},
		"podman:app":             {podman, "app"},
		"containers-storage:app": {podman, "app"},
		"containerd:host:5/a:1":  {containerd, "host:5/a:1"},
		"docker://host:5/a:1":    {inRegistry, "host:5/a:1"},
		"ipfs://bafy":            {onIPFS, "bafy"},
	} {
		got, err := Parse(arg)
		if err != nil || got != want {
			t.Errorf("%s is %+v (%v), want %+v", arg, got, err, want)
		}
	}
	for _, arg := range []string{"", "docker-daemon:", "http://host/app"} {
		if got, err := Parse(arg); !errors.Is(err, ErrSpelling) {
			t.Errorf("%q is %+v (%v)", arg, got, err)
		}
	}
}

func TestLike(t *testing.T) {
	have := []string{"app:1", "app:latest", "team/web:2", "postgres:17", "redis:8"}
	for asked, want := range map[string][]string{
		"app:2":        {"app:1", "app:latest"},
		"web":          {"team/web:2"},
		"postgers:17":  {"postgres:17"},
		"redi":         {"redis:8"},
		"something:17": nil,
	} {
		if got := like(asked, have); !slices.Equal(got, want) {
			t.Errorf("like %s are %q, want %q", asked, got, want)
		}
	}
}

// fakeDocker is a dockerd that has one image of its classic store.
func fakeDocker(t *testing.T) (host string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "d") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/_ping"):
			w.Header().Set("Api-Version", "1.44")
		case strings.HasSuffix(path, "/info"):
			answer(w, map[string]string{"ServerVersion": "1"})
		case strings.HasSuffix(path, "/images/app:1/json"):
			answer(w, map[string]any{"Id": "sha256:1", "Os": "linux", "Architecture": "arm64"})
		case strings.HasSuffix(path, "/images/json"):
			answer(w, []map[string]any{{"RepoTags": []string{"app:1", "<none>:<none>", "other:1"}}})
		default:
			http.Error(w, `{"message": "no such image"}`, http.StatusNotFound)
		}
	})}
	go func() { _ = s.Serve(listener) }() // ends with the test
	t.Cleanup(func() { s.Close() })
	return "unix://" + listener.Addr().String()
}

// Who asks for what is not there is told what is.
func TestDockerLacks(t *testing.T) {
	host := fakeDocker(t)
	_, err := Open(t.Context(), Spec{dockerDaemon, "app:2"}, Options{DockerHost: host})
	if !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "is it app:1?") {
		t.Errorf("another tag: %v", err)
	}
	_, err = Open(t.Context(), Spec{dockerDaemon, "app:1"}, Options{DockerHost: host, Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}}})
	if !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("another platform: %v", err)
	}
}

// An engine that does not run is told apart from a socket that may not be used, and
// each error says what to do.
func TestNoEngine(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "s")
	o := Options{DockerHost: "unix://" + nowhere, PodmanHost: "unix://" + nowhere, Containerd: nowhere}
	for k, says := range map[kind]string{dockerDaemon: "systemctl start docker", podman: "podman system service", containerd: "--containerd-address"} {
		_, err := Open(t.Context(), Spec{k, "app"}, o)
		if !errors.Is(err, engine.ErrNone) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q in it", k, err, says)
		}
	}
}
