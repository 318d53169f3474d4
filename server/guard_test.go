package server

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// serveOn answers on a listener as the command does, until the test ends.
func serveOn(t *testing.T, cfg Config, addr string) *site {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, s, "http://127.0.0.1:" + port}
}

// as sends a request under another host's name, as a browser does whose DNS was
// turned around.
func (s *site) as(host, method, path string, headers ...string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		s.t.Fatal(err)
	}
	return resp
}

// A page whose name points to this machine must not read what is served on its
// loopback; where others are meant to come, names are theirs to choose.
func TestOnlyLocalHostsOnLoopback(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	near := serveOn(t, Config{Local: blocks, Hosts: []string{"registry.test"}}, "127.0.0.1:0")
	far := serveOn(t, Config{Local: blocks}, "0.0.0.0:0")
	for _, path := range []string{"/v2/", p.manifest(), "/ipfs/" + p.root.String() + "/index.json", "/healthz", "/metrics", "/"} {
		for _, host := range []string{"evil.test", "127.0.0.1.evil.test:80", "192.0.2.1", "0.0.0.0"} {
			if resp := near.as(host, http.MethodGet, path); resp.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s of %s: %s", path, host, resp.Status)
			}
			if resp := far.as(host, http.MethodGet, path); resp.StatusCode == http.StatusMisdirectedRequest {
				t.Errorf("%s of %s, on all addresses: %s", path, host, resp.Status)
			}
		}
		for _, host := range []string{"localhost", "localhost:5000", "127.0.0.1", "[::1]:5000", "registry.test:80", ""} {
			if resp := near.as(host, http.MethodGet, path); resp.StatusCode == http.StatusMisdirectedRequest {
				t.Errorf("%s of %q: %s", path, host, resp.Status)
			}
		}
	}
}

// Scripts of other pages read what lies below /ipfs/, and nothing else here; none
// gets a writing request through.
func TestPagesOfOthers(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	s := start(t, Config{Local: blocks})
	const origin = "http://evil.test"
	for path, want := range map[string]string{"/ipfs/" + p.root.String() + "/index.json": "*", p.manifest(): "", "/v2/": "", "/healthz": "", "/metrics": ""} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			resp := s.as("127.0.0.1", method, path, "Origin", origin)
			if got := resp.Header.Get("Access-Control-Allow-Origin"); got != want || resp.StatusCode != http.StatusOK {
				t.Errorf("%s %s: %s, allows %q, want %q", method, path, resp.Status, got, want)
			}
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			resp := s.as("127.0.0.1", method, path, "Origin", origin)
			if resp.StatusCode != http.StatusForbidden || resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s from a page: %s", method, path, resp.Status)
			}
			if resp := s.as("127.0.0.1", method, path); resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s", method, path, resp.Status)
			}
		}
	}
}

// A range of a unit that nobody knows is ignored (RFC 9110, 14.2), not refused.
func TestUnknownRangeUnits(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	s := start(t, Config{Local: blocks})
	for _, path := range []string{p.blob(), p.manifest(), "/ipfs/" + p.root.String() + "/index.json", "/v2/"} {
		for rng, want := range map[string]int{"items=0-5": 200, "items=0-1,4-5": 200, "bytes": 200, "bytes=0-1": 206, "Bytes=0-1": 206, "bytes=-0": 416, "bytes=-1": 206} {
			if got := s.both(path, "Range: "+rng); got.StatusCode != want {
				t.Errorf("%s, Range %s: %d, want %d", path, rng, got.StatusCode, want)
			}
		}
	}
}
