package server

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// What peers have is fetched for this machine, whatever the address that is
// listened on, and for nobody else.
func TestFetchesForThisMachine(t *testing.T) {
	for _, c := range []struct {
		name, remote string
		headers      []string
		may          bool
	}{
		{name: "from here", remote: onThisMachine, may: true},
		{name: "from here by IPv6", remote: "[::1]:40000", may: true},
		{name: "from elsewhere", remote: elsewhere},
		{name: "by a proxy", remote: onThisMachine, headers: []string{"X-Forwarded-For: 192.0.2.7"}},
		{name: "by a proxy of another kind", remote: onThisMachine, headers: []string{"X-Forwarded-Host: x"}},
		{name: "by a proxy of today", remote: onThisMachine, headers: []string{"Forwarded: for=192.0.2.7"}},
		{name: "by nginx as many set it up", remote: onThisMachine, headers: []string{"X-Real-IP: 192.0.2.7"}},
		{name: "by a CDN's tunnel", remote: onThisMachine, headers: []string{"CF-Connecting-IP: 192.0.2.7"}},
		{name: "by a proxy that says Via", remote: onThisMachine, headers: []string{"Via: 1.1 x"}},
		{name: "by a web page that has its name point here", remote: onThisMachine, headers: []string{"Host: evil.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			blocks := testlayout.NewBlocks()
			p := publish(t, blocks, 3<<20)
			s := start(t, Config{Local: testlayout.NewBlocks(), Reserved: []ipfs.Getter{blocks}, OpenHere: true, Limits: quick})
			ask := func(path string) *http.Response {
				return s.asked(c.remote, http.MethodGet, path, false, append([]string{"Host: 127.0.0.1:5000"}, c.headers...)...)
			}
			for _, path := range []string{p.manifest(), p.blob()} {
				got := ask(path)
				body, err := io.ReadAll(got.Body)
				switch {
				case err != nil:
					t.Error(err)
				case c.may && got.StatusCode != http.StatusOK:
					t.Errorf("%s: %d %s", path, got.StatusCode, body)
				case !c.may && (got.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "--open")):
					t.Errorf("%s: %d %s, expected 404 that names the flag", path, got.StatusCode, body)
				case c.may && path == p.blob() && !bytes.Equal(body, p.data):
					t.Error("other bytes")
				}
			}
		})
	}
}

// Who may not have things fetched neither profits from those who may, nor harms
// them: the answers to both are remembered apart.
func TestRightsAreKeptApart(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 3<<20)
	s := start(t, Config{Local: testlayout.NewBlocks(), Reserved: []ipfs.Getter{blocks}, OpenHere: true, Limits: quick})
	here := func(path string) int {
		return s.asked(onThisMachine, http.MethodGet, path, false, "Host: localhost:5000").StatusCode
	}
	if got := s.from(elsewhere, http.MethodGet, p.manifest()).StatusCode; got != http.StatusNotFound {
		t.Errorf("from elsewhere: %d", got)
	}
	if got := here(p.manifest()); got != http.StatusOK { // the 404 is not for this machine
		t.Errorf("from here, after that: %d", got)
	}
	if got := here(p.blob()); got != http.StatusOK {
		t.Errorf("blob, from here: %d", got)
	}
	if got := s.from(elsewhere, http.MethodGet, p.blob()).StatusCode; got != http.StatusForbidden {
		t.Errorf("blob, from elsewhere, after that: %d", got)
	}
}

// A server without any other source says what would give it one.
func TestNoOtherSource(t *testing.T) {
	p := publish(t, testlayout.NewBlocks(), 1000)
	s := start(t, Config{Local: testlayout.NewBlocks(), OpenHere: true, Limits: quick})
	s.get(p.manifest()).expect(t, http.StatusNotFound, codeNameUnknown, "--mdns", "--gateway")
}

// The log says at start for whom what is fetched.
func TestLogSaysForWhom(t *testing.T) {
	for want, cfg := range map[string]Config{
		"for=everyone": {Open: true}, `for="requests from this machine`: {OpenHere: true}, "for=nobody": {},
	} {
		var log testlog.Log
		cfg.Reserved, cfg.Logger = []ipfs.Getter{testlayout.NewBlocks()}, log.Logger()
		start(t, cfg)
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in %s", want, log.String())
		}
	}
}
