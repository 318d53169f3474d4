package browser

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// server is a running serve with a store of its own.
type server struct{ url, pushes string }

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startServer(t *testing.T) *server {
	t.Helper()
	binary := os.Getenv("BINARY")
	if binary == "" {
		t.Skip("BINARY names no image2ipfs: browser.sh runs these tests")
	}
	images, push := freeAddress(t), freeAddress(t)
	cmd := exec.Command(binary, "serve", "--addr", images, "--push", push)
	cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+t.TempDir()+"/store", "IPFS_PATH=", "IPFS_API=", "IPFS_GATEWAY=")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v: %s", err, said.String())
		}
	})
	s := &server{"http://" + images, "http://" + push}
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get(s.pushes + "/healthz"); err == nil {
			resp.Body.Close()
			return s
		}
	}
	t.Fatal("the server does not answer")
	return nil
}

func (s *server) send(t *testing.T, method, at, mediaType string, body []byte) http.Header {
	t.Helper()
	if strings.HasPrefix(at, "/") {
		at = s.pushes + at
	}
	req, err := http.NewRequestWithContext(t.Context(), method, at, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s", method, at, resp.Status, text)
	}
	return resp.Header
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

func (s *server) blob(t *testing.T, repository, mediaType string, data []byte) descriptor {
	t.Helper()
	at := s.send(t, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", "", nil).Get("Location")
	s.send(t, http.MethodPut, at+"?digest="+url.QueryEscape(digestOf(data)), "application/octet-stream", data)
	return descriptor{mediaType, digestOf(data), len(data)}
}

// push pushes an image and gives its root, as it stands in pull names.
func (s *server) push(t *testing.T, repository, tag, system string, layers ...[]byte) string {
	t.Helper()
	const manifest = "application/vnd.oci.image.manifest.v1+json"
	config := encoded(t, map[string]any{"architecture": "amd64", "os": system})
	m := map[string]any{"schemaVersion": 2, "mediaType": manifest, "config": s.blob(t, repository, "application/vnd.oci.image.config.v1+json", config)}
	var list []descriptor
	for _, l := range layers {
		list = append(list, s.blob(t, repository, "application/vnd.oci.image.layer.v1.tar", l))
	}
	m["layers"] = list
	name := s.send(t, http.MethodPut, "/v2/"+repository+"/manifests/"+tag, manifest, encoded(t, m)).Get("Image2ipfs-Name")
	_, rest, _ := strings.Cut(name, "/")
	root, _, _ := strings.Cut(rest, "/")
	return root
}

// firstLayer is the digest of an image's first layer, as a query has it.
func (s *server) firstLayer(t *testing.T, repository, tag string) string {
	t.Helper()
	resp, err := http.Get(s.pushes + "/v2/" + repository + "/manifests/" + tag)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m struct{ Layers []descriptor }
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return url.QueryEscape(m.Layers[0].Digest)
}

// tarOf is a tar of files with these names and contents.
func tarOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Format: tar.FormatPAX})
		if err == nil {
			_, err = w.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
