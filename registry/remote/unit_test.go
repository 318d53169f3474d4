package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

func none(context.Context, string, string) (auth.Credential, error) { return auth.EmptyCredential, nil }

// serve is a registry whose answers a test gives.
func serve(t *testing.T, answer http.HandlerFunc, c Credentials) *Repository {
	t.Helper()
	return serveWith(t, answer, Options{Credentials: c})
}

func serveWith(t *testing.T, answer http.HandlerFunc, o Options) *Repository {
	t.Helper()
	web := httptest.NewServer(answer)
	t.Cleanup(web.Close)
	r, err := Open(t.Context(), strings.TrimPrefix(web.URL, "http://"), "team/app", o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A connection that breaks costs the rest of a blob and not what has come.
func TestBlobResumes(t *testing.T) {
	content := strings.Repeat("0123456789", 10_000)
	var sent atomic.Int64
	for _, ranges := range []bool{true, false} {
		sent.Store(0)
		r := serve(t, func(w http.ResponseWriter, req *http.Request) {
			from := 0
			if ranges {
				w.Header().Set("Accept-Ranges", "bytes")
				if _, err := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from); err == nil {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
				}
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
			if from > 0 {
				w.WriteHeader(http.StatusPartialContent)
			}
			part := content[from:]
			if n := int64(len(part)); sent.Load() < 2*int64(len(content))/3 && n > 30_000 {
				part = part[:30_000]
			} else if !ranges && sent.Load() < int64(len(content)) {
				part = part[:60_000]
			}
			n, _ := io.WriteString(w, part)
			sent.Add(int64(n))
		}, none)
		b, err := r.Blob(t.Context(), digest.FromString(content))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if err != nil || string(got) != content {
			t.Errorf("ranges %v: %d bytes, %v", ranges, len(got), err)
		}
		if ranges && sent.Load() > int64(len(content))+100_000 {
			t.Errorf("%d bytes were sent for %d", sent.Load(), len(content))
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A registry that falls silent in the middle is asked again for the rest, and one of which
// each connection brings a byte is given up.
func TestBlobThatComesToAHalt(t *testing.T) {
	content := strings.Repeat("0123456789", 20_000)
	var asked atomic.Int64
	part := 150_000
	answer := func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		from := 0
		w.Header().Set("Accept-Ranges", "bytes")
		if _, err := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from); err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		sent := content[from:min(from+part, len(content))]
		if _, err := io.WriteString(w, sent); err != nil || from+len(sent) == len(content) {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-req.Context().Done()
	}
	r := serveWith(t, answer, Options{Credentials: none, Silence: 500 * time.Millisecond})
	b, err := r.Blob(t.Context(), digest.FromString(content))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); err != nil || string(got) != content || asked.Load() > 3 {
		t.Errorf("%d bytes in %d requests, %v", len(got), asked.Load(), err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	part = 1
	if b, err = r.Blob(t.Context(), digest.FromString(content)); err != nil {
		t.Fatal(err)
	}
	b.(*blob).failed = maxResumes // else the pauses take minutes
	asked.Store(0)
	if _, err := io.ReadAll(b); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "no byte came for") || asked.Load() > 1 {
		t.Errorf("a byte for each connection, %d of them: %v", asked.Load(), err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// A list whose pages link to themselves ends, and one without an end is over the limit.
func TestListsEnd(t *testing.T) {
	var page, asked atomic.Int64
	answer := func(endless bool) func(w http.ResponseWriter, req *http.Request) {
		return func(w http.ResponseWriter, req *http.Request) {
			asked.Add(1)
			if endless {
				page.Add(1)
			}
			w.Header().Set("Link", fmt.Sprintf("<%s?n=1&last=%d>; rel=\"next\"", req.URL.Path, page.Load()))
			if strings.HasSuffix(req.URL.Path, "/tags/list") {
				fmt.Fprintf(w, `{"name":"team/app","tags":["t%d"]}`, page.Load())
				return
			}
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
			for i := range 500 {
				index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Size: 2, Digest: digest.FromString(fmt.Sprint(page.Load(), i))})
			}
			if err := json.NewEncoder(w).Encode(index); err != nil {
				t.Error(err)
			}
		}
	}
	d := digest.FromString("subject")
	r := serve(t, answer(false), none)
	if tags, err := r.Tags(t.Context(), ""); err != nil || len(tags) != 1 {
		t.Errorf("tags %q, %v", tags, err)
	}
	if all, err := r.Referrers(t.Context(), d); err != nil || len(all) != 500 {
		t.Errorf("%d referrers, %v", len(all), err)
	}
	if asked.Load() != 4 {
		t.Errorf("%d requests, expected 2 for each list", asked.Load())
	}
	if _, err := serve(t, answer(true), none).Referrers(t.Context(), d); !errors.Is(err, oci.ErrLimit) {
		t.Errorf("referrers without an end: %v", err)
	}
}

// Who may not read is told how to log in; a registry that is away is told apart.
func TestErrors(t *testing.T) {
	for status, want := range map[int]error{http.StatusUnauthorized: ErrUnauthorized, http.StatusForbidden: ErrUnauthorized} {
		r := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(status)
		}, none)
		_, err := r.Resolve(t.Context(), ref.Name{Tag: "1"})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "docker login "+r.host) {
			t.Errorf("status %d: %v", status, err)
		}
	}
	if _, err := Open(t.Context(), "127.0.0.1:1", "app", Options{Credentials: none}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nothing listens: %v", err)
	}
}

// A registry that lies about a manifest is found out, whatever it says of the digest.
func TestLie(t *testing.T) {
	asked := digest.FromString("another")
	for _, says := range []string{"", asked.String()} {
		r := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			if says != "" {
				w.Header().Set("Docker-Content-Digest", says)
			}
			_, _ = io.WriteString(w, `{"schemaVersion":2}`)
		}, none)
		if _, err := r.Manifest(t.Context(), asked); !errors.Is(err, oci.ErrCorrupt) {
			t.Errorf("%q: %v", says, err)
		}
	}
}

// Credentials of docker and of podman are found, podman's by repository, too, and
// those of a helper.
func TestStored(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("docker-credential-test", "#!/bin/sh\necho '{\"ServerURL\":\"helped\",\"Username\":\"h\",\"Secret\":\"s\"}'\n", 0o700)
	docker := write("config.json", `{"auths":{"both":{"auth":"ZG9ja2VyOnA="},"https://index.docker.io/v1/":{"auth":"aHViOnA="}},"credHelpers":{"helped":"test"}}`, 0o600)
	podman := write("auth.json", `{"auths":{"both":{"auth":"cG9kbWFuOnA="},"pods":{"auth":"YWxsOnA="},"pods/team":{"auth":"dGVhbTpw"}}}`, 0o600)
	c, err := storedIn([]string{filepath.Join(dir, "absent"), docker, podman})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][3]string{
		{"both", "app", "docker"}, {"pods", "team/app", "team"}, {"pods", "other", "all"},
		{"registry-1.docker.io", "library/app", "hub"}, {"helped", "app", "h"}, {"unknown", "app", ""},
	} {
		got, err := c(t.Context(), want[0], want[1])
		if err != nil || got.Username != want[2] {
			t.Errorf("%s/%s: %q (%v), want %q", want[0], want[1], got.Username, err, want[2])
		}
	}
	desktop := write("desktop.json", `{"credsStore":"is-not-installed-here"}`, 0o600)
	if c, err = storedIn([]string{desktop, podman}); err != nil {
		t.Fatal(err)
	}
	if got, err := c(t.Context(), "pods", "app"); err != nil || got.Username != "all" {
		t.Errorf("behind a helper that is missing: %q, %v", got.Username, err)
	}
	if _, err := c(t.Context(), "unknown", "app"); err == nil || !strings.Contains(err.Error(), "desktop.json") {
		t.Errorf("a helper that is missing, and nobody else has any: %v", err)
	}
	if _, err := storedIn([]string{write("broken.json", "{", 0o600)}); err == nil || !strings.Contains(err.Error(), "broken.json") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestCredentialFiles(t *testing.T) {
	env := map[string]string{"DOCKER_CONFIG": "/d", "XDG_RUNTIME_DIR": "/run/user/7"}
	got := credentialFiles(func(name string) string { return env[name] }, "/home/a", 7)
	want := []string{"/d/config.json", "/run/user/7/containers/auth.json", "/run/containers/7/auth.json", "/home/a/.config/containers/auth.json"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	env["REGISTRY_AUTH_FILE"] = "/f"
	if got := credentialFiles(func(name string) string { return env[name] }, "/home/a", 7); !slices.Equal(got, []string{"/d/config.json", "/f"}) {
		t.Errorf("%q", got)
	}
}

// Who signed a registry's certificate is found where docker and podman look.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	if c, err := certificates(t.Context(), "host:5000", []string{dir}); err != nil || c != nil {
		t.Errorf("without any: %v, %v", c, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "host:5000"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "host:5000", "ca.crt"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := certificates(t.Context(), "host:5000", []string{dir}); err == nil || !strings.Contains(err.Error(), "ca.crt") {
		t.Errorf("no certificates: %v", err)
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost:5000": true, "127.0.0.1": true, "[::1]:5000": true, "127.8.0.1:80": true, "a.localhost": true,
		"docker.io": false, "10.0.0.1:5000": false, "localhost.example": false,
	} {
		if got := isLoopback(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

// What a registry says is no manifest for its size is none here, as for each other reader.
func TestTooLarge(t *testing.T) {
	data := append([]byte(`{"schemaVersion":2}`), make([]byte, oci.MaxManifestSize)...)
	d := digest.FromBytes(data)
	r := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", d.String())
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data)
	}, none)
	if _, err := r.Manifest(t.Context(), d); !errors.Is(err, oci.ErrManifestUnknown) {
		t.Errorf("a manifest of %d bytes: %v", len(data), err)
	}
}
