package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// site is a running server.
type site struct {
	t   *testing.T
	s   *Server
	url string
}

func start(t *testing.T, cfg Config) *site {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s)
	t.Cleanup(func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{t, s, hs.URL}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// reply is a response with its body read.
type reply struct {
	*http.Response
	body []byte
}

var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100},
	Timeout:       30 * time.Second,
}

// do sends a request; headers are "Name: value".
func (s *site) do(method, path string, headers ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{resp, body}
}

func (s *site) get(path string, headers ...string) reply {
	s.t.Helper()
	return s.do(http.MethodGet, path, headers...)
}

// both sends GET and HEAD and fails unless they agree (distribution-spec,
// "Checking if content exists in the registry").
func (s *site) both(path string, headers ...string) reply {
	s.t.Helper()
	got, head := s.get(path, headers...), s.do(http.MethodHead, path, headers...)
	if got.StatusCode != head.StatusCode || len(head.body) > 0 {
		s.t.Errorf("%s: GET is %d, HEAD %d with %d bytes", path, got.StatusCode, head.StatusCode, len(head.body))
	}
	for _, name := range []string{"Content-Type", "Content-Length", "Docker-Content-Digest", "Etag", "Cache-Control", "Location"} {
		if g, h := got.Header.Get(name), head.Header.Get(name); g != h {
			s.t.Errorf("%s: %s is %q for GET, %q for HEAD", path, name, g, h)
		}
	}
	return got
}

// expect fails unless the reply has the status and, for errors, the code and
// text.
func (r reply) expect(t *testing.T, status int, code errorCode, texts ...string) reply {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %s", r.Request.Method, r.Request.URL.Path, r.StatusCode, status, r.body)
	}
	if code == "" || r.Request.Method == http.MethodHead {
		return r
	}
	var body struct {
		Errors []struct {
			Code    errorCode
			Message string
		}
	}
	if err := json.Unmarshal(r.body, &body); err != nil || len(body.Errors) != 1 {
		t.Fatalf("%s: error body %q: %v", r.Request.URL.Path, r.body, err)
	}
	if body.Errors[0].Code != code {
		t.Errorf("%s: code %s, want %s: %s", r.Request.URL.Path, body.Errors[0].Code, code, body.Errors[0].Message)
	}
	for _, text := range texts {
		if !strings.Contains(body.Errors[0].Message, text) {
			t.Errorf("%s: message %q does not say %q", r.Request.URL.Path, body.Errors[0].Message, text)
		}
	}
	if r.Header.Get("Docker-Distribution-Api-Version") != "registry/2.0" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: error has header %v", r.Request.URL.Path, r.Header)
	}
	return r
}

// gateway is an IPFS gateway whose moods the test decides.
type gateway struct {
	name   string
	blocks *testlayout.Blocks
	mood   atomic.Int32
	asked  atomic.Int32
	read   atomic.Int32
	bare   atomic.Bool // it serves blocks alone
}

const (
	well  = iota
	dead  // refuses connections
	hangs // never answers
	lies  // sends other bytes
	empty // has nothing
	busy  // asks for half a minute of peace
)

func newGateway(name string, blocks *testlayout.Blocks, mood int32) *gateway {
	g := &gateway{name: name, blocks: blocks}
	g.mood.Store(mood)
	return g
}

func (g *gateway) String() string { return g.name }

func (g *gateway) FileURL(root cid.Cid, path string) string {
	return g.name + "/ipfs/" + root.String() + "/" + path
}

func (g *gateway) Has(ctx context.Context, root cid.Cid) error {
	g.asked.Add(1)
	_, err := g.answer(ctx, root)
	return err
}

func (g *gateway) ByPath(context.Context) error {
	if g.bare.Load() {
		return fmt.Errorf("%s answers 406", g.name)
	}
	return nil
}

func (g *gateway) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	g.read.Add(1)
	return g.answer(ctx, c)
}

func (g *gateway) answer(ctx context.Context, c cid.Cid) ([]byte, error) {
	switch g.mood.Load() {
	case dead:
		return nil, fmt.Errorf("%w: %s: connection refused", ipfs.ErrUnavailable, g.name)
	case hangs:
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %s: %w", ipfs.ErrUnavailable, g.name, ctx.Err())
	case empty:
		return nil, fmt.Errorf("%s: %w", g.name, ipfs.ErrNotFound)
	case busy:
		return nil, fmt.Errorf("%s: 429: %w", g.name, &ipfs.BusyError{Until: time.Now().Add(30 * time.Second)})
	case lies:
		return []byte("something else"), nil
	}
	return g.blocks.Get(ctx, c)
}

func name(root cid.Cid) string { return "/v2/" + ref.Ciq(root) }

// big is content of n bytes whose blocks all differ.
func big(n int) []byte {
	data := make([]byte, n)
	x := uint32(n)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}
