//go:build e2e

// A stand-in for Docker Hub and its mirrors, so that the engines of these tests ask
// whom their configuration says by the name that it says.

package e2e

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// hubNames are what it answers as, on 127.0.0.1 with TLS.
var hubNames = []string{"registry-1.docker.io", "docker.io", "index.docker.io", "mirror.gcr.io", "hub.corp.example"}

// standIn gives what another registry has under each of its names.
type standIn struct {
	ca    []byte // PEM
	mu    sync.Mutex
	asked []string // the names by which it gave a manifest
}

func startStandIn(t *testing.T, upstream string) *standIn {
	t.Helper()
	cert, key := certificate(t, hubNames...)
	ca, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatalf("%v; the tests run on a machine of their own (hack/e2e.sh)", err)
	}
	s := &standIn{ca: ca}
	to := &url.URL{Scheme: "http", Host: upstream}
	server := &http.Server{
		Handler:  &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.Header.Set("Test-Name", r.In.Host); r.SetURL(to) }, ModifyResponse: s.note},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ServeTLS(listener, cert, key) }()
	t.Cleanup(func() { server.Close(); <-done })
	return s
}

// note remembers by which name a manifest was given. The proxy has put the
// upstream's name into the request, and the client's into a field beside it.
func (s *standIn) note(r *http.Response) error {
	if r.StatusCode == http.StatusOK && strings.Contains(r.Request.URL.Path, "/manifests/") {
		s.mu.Lock()
		defer s.mu.Unlock()
		if name := r.Request.Header.Get("Test-Name"); !slices.Contains(s.asked, name) {
			s.asked = append(s.asked, name)
		}
	}
	return nil
}

// since gives the names by which it was asked since the last time.
func (s *standIn) since() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := strings.Join(s.asked, " ")
	s.asked = nil
	return names
}
