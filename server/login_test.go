package server

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// ann is the header by which the user of htpasswd logs in.
const ann = "Authorization: Basic YW5uOnNlY3JldA==" // ann:secret

func htpasswd(t *testing.T) Passwords {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, append([]byte("ann:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Htpasswd(t.Context(), file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// startClosed starts a server that asks for passwords, on both of its addresses.
func startClosed(t *testing.T, cfg Config) (push, read *site, log *testlog.Log) {
	t.Helper()
	log = &testlog.Log{}
	cfg.Logger = log.Logger()
	cfg.Passwords = htpasswd(t)
	read = start(t, cfg)
	hs := httptest.NewServer(read.s.PushHandler())
	t.Cleanup(hs.Close)
	return &site{t, read.s, hs.URL}, read, log
}

// Nothing at all is to be had on the push address without a password, and reading by
// CID elsewhere asks for none.
func TestLogin(t *testing.T) {
	dir := t.TempDir()
	store, err := packstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	push, read, log := startClosed(t, Config{Local: store, Dir: dir, Pushed: pushed.New(store, pushed.Options{})})
	_, image, _ := twoImages(t) // which is elsewhere
	noRoot := image.root
	for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/app/manifests/1", "/v2/app/tags/list", name(noRoot) + "/manifests/1", "/ipfs/" + noRoot.String(), "/metrics", "/healthz", "/"} {
		for _, header := range []string{"X: y", "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann:secre")), "Authorization: Bearer secret", "Authorization: Basic !"} {
			got := push.get(path, header)
			if got.StatusCode == http.StatusTooManyRequests { // guessed too often
				push.s.cfg.Passwords = htpasswd(t)
				got = push.get(path, header)
			}
			if got.StatusCode != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") != `Basic realm="image2ipfs", charset="UTF-8"` {
				t.Errorf("%s with %s: %s %v", path, header, got.Status, got.Header)
			}
		}
	}
	p := &pushSite{push, store}
	p.send(http.MethodPost, "/v2/app/blobs/uploads/", big(1<<20)).expect(t, http.StatusUnauthorized, codeUnauthorized, "docker login")
	p.send(http.MethodPut, "/v2/app/manifests/1", []byte("{}"), "Content-Type: application/json").expect(t, http.StatusUnauthorized, codeUnauthorized)
	push.get("/v2/", ann).expect(t, http.StatusOK, "")
	p.send(http.MethodPost, "/v2/app/blobs/uploads/", nil, ann).expect(t, http.StatusAccepted, "")
	push.get("/healthz", ann).expect(t, http.StatusOK, "")
	for _, path := range []string{"/v2/", "/healthz", "/metrics"} {
		read.get(path).expect(t, http.StatusOK, "")
	}
	read.get(name(noRoot)+"/manifests/1").expect(t, http.StatusNotFound, codeNameUnknown)
	if text := log.String(); !strings.Contains(text, "user=ann") || strings.Contains(text, "secre") || strings.Contains(text, "YW5u") {
		t.Errorf("log: %s", text)
	}
}

// Who guesses gets 429 and is told when to come again (RFC 6585, 4), whatever he asks.
func TestLoginGuessed(t *testing.T) {
	push, _, _ := startClosed(t, Config{Local: testlayout.NewBlocks()})
	wrong := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann:guess"))
	for range 10 {
		push.get("/v2/", wrong).expect(t, http.StatusUnauthorized, codeUnauthorized, "user or password is wrong")
	}
	got := push.get("/v2/", wrong).expect(t, http.StatusTooManyRequests, codeTooMany, "too many wrong passwords")
	if after := got.Header.Get("Retry-After"); len(after) != 1 || after < "1" || after > "6" {
		t.Errorf("Retry-After %q", after)
	}
	push.s.cfg.Passwords = stuck{}
	push.get("/v2/", wrong).expect(t, http.StatusTooManyRequests, codeTooMany)
}

// stuck has too much to do.
type stuck struct{}

func (stuck) Check(context.Context, string, string, string) error { return errors.New("busy") }

// With AuthRead everything asks that could be read, nobody is sent elsewhere for it,
// and what tells whether the server lives asks nobody.
func TestAuthRead(t *testing.T) {
	blocks, mine, _ := twoImages(t)
	gw := newGateway("http://gateway.test", blocks, well)
	push, read, _ := startClosed(t, Config{Local: blocks, Gateways: []Gateway{gw}, AuthRead: true, Catalog: true})
	metrics := httptest.NewServer(read.s.guarded(read.s.metrics.handler))
	defer metrics.Close()
	paths := append(mine.paths(), "/v2/", "/v2/_catalog", "/metrics")
	for _, path := range paths {
		for _, s := range []*site{read, push} {
			if got := s.get(path); got.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %s", path, got.Status)
			}
			if got := s.get(path, ann); got.StatusCode >= http.StatusBadRequest {
				t.Errorf("%s with password: %s %s", path, got.Status, got.body)
			}
		}
	}
	(&site{t, read.s, metrics.URL}).get("/metrics").expect(t, http.StatusUnauthorized, "")
	(&site{t, read.s, metrics.URL}).get("/metrics", ann).expect(t, http.StatusOK, "")
	read.get("/healthz").expect(t, http.StatusOK, "")
	if _, err := New(Config{Local: blocks, AuthRead: true}); err == nil {
		t.Error("AuthRead without passwords")
	}
}

// What the push address gives to who has a password it does not have a gateway give.
func TestPushAddressNeverRedirects(t *testing.T) {
	blocks, mine, _ := twoImages(t)
	gw := newGateway("http://gateway.test", blocks, well)
	push, read, _ := startClosed(t, Config{Local: blocks, Gateways: []Gateway{gw}})
	blob := name(mine.root) + "/blobs/" + mine.manifest
	waitUntil(t, func() bool { return read.get(blob).StatusCode == http.StatusTemporaryRedirect })
	push.get(blob, ann, "User-Agent: another").expect(t, http.StatusOK, "")
}

// Who reaches an address must not push there, or read what is sent to it, unless that
// is what somebody has said.
func TestExpose(t *testing.T) {
	blocks := testlayout.NewBlocks()
	at := func(addr string) net.Listener { return placeless{addr: &net.TCPAddr{IP: net.ParseIP(addr)}} }
	dir := t.TempDir()
	keyPair(t, filepath.Join(dir, "cert"), filepath.Join(dir, "key"), 1)
	secure, err := TLS(t.Context(), filepath.Join(dir, "cert"), filepath.Join(dir, "key"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	near, far := at("127.0.0.1"), at("192.0.2.1")
	p := htpasswd(t)
	for i, c := range []struct {
		cfg Config
		on  Listeners
		ok  bool
	}{
		{Config{}, Listeners{Images: far, Push: near}, true},
		{Config{}, Listeners{Images: far, Push: at("::1"), Metrics: far}, true},
		{Config{}, Listeners{Images: near, Push: far}, false},
		{Config{}, Listeners{Images: near, Push: at("0.0.0.0")}, false},
		{Config{TLS: secure}, Listeners{Images: near, Push: far}, false},
		{Config{Passwords: p}, Listeners{Images: near, Push: far}, false},
		{Config{Passwords: p, TLS: secure}, Listeners{Images: near, Push: far}, true},
		{Config{Passwords: p, PushTLS: secure}, Listeners{Images: far, Push: far}, true},
		{Config{AnyoneMayPush: true}, Listeners{Images: near, Push: far}, true},
		{Config{Passwords: p, AuthRead: true}, Listeners{Images: near, Metrics: near}, true},
		{Config{Passwords: p, AuthRead: true}, Listeners{Images: far}, false},
		{Config{Passwords: p, AuthRead: true, TLS: secure}, Listeners{Images: far, Push: far}, true},
		{Config{Passwords: p, AuthRead: true, PushTLS: secure}, Listeners{Images: far, Push: far}, false},
		{Config{Passwords: p, AuthRead: true, TLS: secure}, Listeners{Images: far, Metrics: far}, false},
	} {
		if err := c.cfg.Expose(c.on); (err == nil) != c.ok || !c.ok && !errors.Is(err, ErrExposed) {
			t.Errorf("%d: %v", i, err)
		}
	}
	s, err := New(Config{Local: blocks})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ServeAll(t.Context(), Listeners{Images: near, Push: far}); !errors.Is(err, ErrExposed) {
		t.Error(err)
	}
}

// placeless is a listener that is nothing but its address.
type placeless struct {
	net.Listener
	addr net.Addr
}

func (p placeless) Addr() net.Addr { return p.addr }

// The name that the pusher is told is one that he can reach, as far as is known.
func TestRegistryHost(t *testing.T) {
	s := start(t, Config{Local: testlayout.NewBlocks(), Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}).s
	for _, c := range []struct{ from, forwarded, registry, want string }{
		{"192.0.2.1:1", "", "", "asked.test"},
		{"192.0.2.1:1", "evil.test", "", "asked.test"},
		{"10.0.0.1:1", "public.test", "", "public.test"},
		{"10.0.0.1:1", "", "", "asked.test"},
		{"10.0.0.1:1", "public.test", "own.test:5000", "own.test:5000"},
	} {
		r := httptest.NewRequest(http.MethodPut, "http://asked.test/v2/", nil)
		r.RemoteAddr = c.from
		r.Header.Set("X-Forwarded-Host", c.forwarded)
		s.cfg.Registry = c.registry
		if got := s.registryHost(r); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// Programs tell by the errors of this package what makes no sense, and who was let in.
func TestPromisedErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte("no colon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Htpasswd(t.Context(), file, Options{}); !errors.Is(err, ErrHtpasswd) {
		t.Errorf("a file without hashes: %v", err)
	}
	if err := htpasswd(t).Check(t.Context(), "here", "nobody", "secret"); !errors.Is(err, ErrLogin) {
		t.Errorf("a user that there is not: %v", err)
	}
	if _, err := OpenEvents("ftp://example.com/", Options{}); !errors.Is(err, ErrEvents) {
		t.Errorf("a URL that takes no posts: %v", err)
	}
}
