package server

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// from asks the server as a client elsewhere does; headers are "Name: value".
func (s *site) from(remote, method, path string, headers ...string) *http.Response {
	return s.asked(remote, method, path, false, headers...)
}

// asked is from, with TLS or without.
func (s *site) asked(remote, method, path string, secure bool, headers ...string) *http.Response {
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, nil)
	r.RemoteAddr = remote
	if secure {
		r.TLS = &tls.ConnectionState{}
	}
	for _, h := range headers {
		if name, value, ok := strings.Cut(h, ": "); ok {
			r.Header.Add(name, value)
		}
		if host, ok := strings.CutPrefix(h, "Host: "); ok {
			r.Host = host
		}
	}
	w := httptest.NewRecorder()
	s.s.ServeHTTP(w, r)
	return w.Result()
}

const (
	onThisMachine = "127.0.0.1:40000"
	elsewhere     = "192.0.2.7:40000"
)

const crane = "User-Agent: crane/0.21.6 go-containerregistry/0.21.6"

// followed are who asks and where a gateway is; want tells whether one is sent there.
var followed = []struct {
	name, gateway, remote, header string
	tls, want                     bool
}{
	{name: "a name", gateway: "http://gateway.example", remote: elsewhere, want: true},
	{name: "a private address", gateway: "http://10.0.0.2:8080", remote: elsewhere, want: true},
	{name: "loopback, from this machine", gateway: "http://127.0.0.1:8080", remote: onThisMachine, want: true},
	{name: "loopback, from this machine by IPv6", gateway: "http://127.0.0.1:8080", remote: "[::1]:40000", want: true},
	{name: "loopback, from this machine by a mapped address", gateway: "http://127.0.0.1:8080", remote: "[::ffff:127.0.0.1]:40000", want: true},
	{name: "loopback", gateway: "http://127.0.0.1:8080", remote: elsewhere},
	{name: "loopback in IPv6", gateway: "http://[::1]:8080", remote: elsewhere},
	{name: "loopback, mapped", gateway: "http://[::ffff:127.0.0.1]:8080", remote: elsewhere},
	{name: "loopback, spelt short", gateway: "http://127.1:8080", remote: elsewhere},
	{name: "loopback, spelt as one number", gateway: "http://2130706433:8080", remote: elsewhere},
	{name: "loopback, in hexadecimal", gateway: "http://0x7f.0.0xb.1:8080", remote: elsewhere},
	{name: "loopback, spelt short, from this machine", gateway: "http://127.1:8080", remote: onThisMachine, want: true},
	{name: "a name of digits and letters", gateway: "http://10.0.0.2.example:8080", remote: elsewhere, want: true},
	{name: "localhost", gateway: "http://localhost:8080", remote: elsewhere},
	{name: "below localhost", gateway: "http://gateway.LOCALHOST.:8080", remote: elsewhere},
	{name: "localhost as distributions write it", gateway: "http://localhost.localdomain:8080", remote: elsewhere},
	{name: "localhost as Debian calls it in IPv6", gateway: "http://ip6-localhost:8080", remote: elsewhere},
	{name: "localhost as Fedora calls it in IPv6", gateway: "http://localhost6.localdomain6:8080", remote: elsewhere},
	{name: "a name that begins with localhost", gateway: "http://localhost.example:8080", remote: elsewhere, want: true},
	{name: "loopback, IPv4-compatible", gateway: "http://[::127.0.0.1]:8080", remote: elsewhere},
	{name: "loopback, translated", gateway: "http://[64:ff9b::7f00:1]:8080", remote: elsewhere},
	{name: "an address in IPv6", gateway: "http://[2001:db8::1]:8080", remote: elsewhere, want: true},
	{name: "this network", gateway: "http://0.0.0.7:8080", remote: elsewhere},
	{name: "many", gateway: "http://[ff02::1]:8080", remote: elsewhere},
	{name: "unspecified", gateway: "http://0.0.0.0:8080", remote: elsewhere},
	{name: "link-local", gateway: "http://169.254.1.2:8080", remote: elsewhere},
	{name: "link-local in IPv6", gateway: "http://[fe80::2%25eth0]:8080", remote: elsewhere},
	{name: "loopback, through a proxy here", gateway: "http://127.0.0.1:8080", remote: onThisMachine, header: "X-Forwarded-For: 192.0.2.7"},
	{name: "loopback, through a proxy that says Via", gateway: "http://127.0.0.1:8080", remote: onThisMachine, header: "Via: 1.1 proxy"},
	{name: "loopback, through a proxy that says Forwarded", gateway: "http://127.0.0.1:8080", remote: onThisMachine, header: "Forwarded: for=192.0.2.7"},
	{name: "loopback, through nginx as many set it up", gateway: "http://127.0.0.1:8080", remote: onThisMachine, header: "X-Real-IP: 192.0.2.7"},
	{name: "loopback, through a CDN's tunnel", gateway: "http://127.0.0.1:8080", remote: onThisMachine, header: "CF-Connecting-IP: 192.0.2.7"},
	{name: "http to https", gateway: "https://gateway.example", remote: elsewhere, want: true},
	{name: "https to https", gateway: "https://gateway.example", remote: elsewhere, tls: true, want: true},
	{name: "https to http", gateway: "http://gateway.example", remote: elsewhere, tls: true},
	{name: "https to http, behind a proxy", gateway: "http://gateway.example", remote: elsewhere, header: "X-Forwarded-Proto: https"},
	{name: "https to http, behind a proxy of today", gateway: "http://gateway.example", remote: elsewhere, header: "Forwarded: for=192.0.2.7; proto=https"},
	{name: "https to http, behind two proxies", gateway: "http://gateway.example", remote: elsewhere, header: "X-Forwarded-Proto: https, http"},
	{name: "https to http, behind a proxy that says Ssl", gateway: "http://gateway.example", remote: elsewhere, header: "X-Forwarded-Ssl: on"},
	{name: "https to http, behind a proxy that says Scheme", gateway: "http://gateway.example", remote: elsewhere, header: "X-Forwarded-Scheme: https"},
	{name: "http to http, behind a proxy", gateway: "http://gateway.example", remote: elsewhere, header: "X-Forwarded-Proto: http", want: true},
	{name: "several ranges", gateway: "http://gateway.example", remote: elsewhere, header: "Range: bytes=0-9,100-109"},
	{name: "one range", gateway: "http://gateway.example", remote: elsewhere, header: "Range: bytes=100-", want: true},
	{name: "another unit", gateway: "http://gateway.example", remote: elsewhere, header: "Range: items=0-5"},
	{name: "a condition on the range", gateway: "http://gateway.example", remote: elsewhere, header: `If-Range: "x"`},
	{name: "a condition for whom has it", gateway: "http://gateway.example", remote: elsewhere, header: `If-None-Match: "x"`},
	{name: "a condition for whom has another", gateway: "http://gateway.example", remote: elsewhere, header: `If-Match: "x"`},
	{name: "a condition on the time", gateway: "http://gateway.example", remote: elsewhere, header: "If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT"},
	{name: "crane, to a name", gateway: "http://gateway.example", remote: elsewhere, header: crane, want: true},
	{name: "crane, to a private address", gateway: "http://10.0.0.2:8080", remote: elsewhere, header: crane},
	{name: "crane, to a private address, spelt short", gateway: "http://10.2:8080", remote: elsewhere, header: crane},
	{name: "crane, to loopback", gateway: "http://127.0.0.1:8080", remote: onThisMachine, header: crane},
	{name: "crane, to a public address", gateway: "http://198.51.100.1", remote: elsewhere, header: crane, want: true},
}

// A redirect goes only where the client can follow: what it cannot reach, or would
// refuse, is served from here.
func TestRedirectIsFollowed(t *testing.T) {
	for _, c := range followed {
		t.Run(c.name, func(t *testing.T) {
			blocks := testlayout.NewBlocks()
			p := publish(t, blocks, 2<<20)
			gw := newGateway(c.gateway, blocks, well)
			s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: patient()})
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				got := s.asked(c.remote, method, p.blob(), c.tls, c.header)
				if redirected := got.StatusCode == http.StatusTemporaryRedirect; redirected != c.want {
					t.Errorf("%s: status %d, redirected: want %v", method, got.StatusCode, c.want)
				}
			}
			if got := s.asked(c.remote, http.MethodGet, p.manifest(), c.tls, c.header); got.StatusCode == http.StatusTemporaryRedirect {
				t.Error("a manifest is redirected")
			}
		})
	}
}

// patient are limits under which gateways are waited for, be this machine as busy
// as it may.
func patient() Limits {
	limits := quick
	limits.Probe, limits.Fetch = 10*time.Second, 10*time.Second
	return limits
}

// Of several gateways each client gets one that it can follow to.
func TestRedirectChoosesForTheClient(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	s := start(t, Config{Local: blocks, Limits: patient(), Gateways: []Gateway{
		newGateway("http://127.0.0.1:8080", blocks, well), newGateway("https://gateway.example", blocks, well),
	}})
	for range 3 {
		if got := s.from(elsewhere, http.MethodGet, p.blob()).Header.Get("Location"); !strings.HasPrefix(got, "https://gateway.example/") {
			t.Errorf("sent to %s", got)
		}
	}
}

// A gateway that serves blocks alone answers engines 406: nobody is sent there, and
// it is a source all the same. When it serves files again, clients are sent there.
func TestTrustlessGatewayIsASource(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	gw := newGateway("http://trustless.example", blocks, well)
	gw.bare.Store(true)
	limits := patient()
	limits.Found, limits.Retry, limits.Paths = time.Nanosecond, time.Nanosecond, time.Nanosecond // always asked again
	var log testlog.Log
	s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: limits, Logger: log.Logger()})
	for range 3 {
		if got := s.both(p.blob()).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, p.data) {
			t.Error("other bytes")
		}
	}
	if n := strings.Count(log.String(), "not redirected to this gateway"); n != 1 {
		t.Errorf("said %d times that nobody is redirected: %s", n, log.String())
	}
	closed := start(t, Config{Gateways: []Gateway{gw}, Limits: patient()})
	closed.both(p.manifest()).expect(t, http.StatusOK, "")
	closed.both(p.blob()).expect(t, http.StatusServiceUnavailable, codeUnavailable, "http://trustless.example (which serves no files by path)", "--open")
	open := start(t, Config{Gateways: []Gateway{gw}, Open: true, Limits: patient()})
	if got := open.both(p.blob()).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, p.data) {
		t.Error("other bytes")
	}
	gw.bare.Store(false)
	waitUntil(t, func() bool { return s.get(p.blob()).StatusCode == http.StatusTemporaryRedirect })
}

// A client that asks again did not get it where it was sent: it gets it here. For
// another client, method or range it is the first time.
func TestWhoAsksAgainIsServedFromHere(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	limits := patient()
	limits.Again = time.Hour
	gw := newGateway("http://gateway.example", blocks, well)
	s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: limits})
	again := func(want int, remote, method string, headers ...string) {
		t.Helper()
		if got := s.from(remote, method, p.blob(), headers...); got.StatusCode != want {
			t.Errorf("%s from %s with %v: %d, want %d", method, remote, headers, got.StatusCode, want)
		}
	}
	again(http.StatusTemporaryRedirect, elsewhere, http.MethodGet)
	again(http.StatusOK, elsewhere, http.MethodGet)
	again(http.StatusOK, "192.0.2.7:50000", http.MethodGet) // another connection
	again(http.StatusTemporaryRedirect, "192.0.2.8:40000", http.MethodGet)
	again(http.StatusTemporaryRedirect, elsewhere, http.MethodHead)
	again(http.StatusTemporaryRedirect, elsewhere, http.MethodGet, "Range: bytes=1000-")
	again(http.StatusPartialContent, elsewhere, http.MethodGet, "Range: bytes=1000-")
	again(http.StatusTemporaryRedirect, elsewhere, http.MethodGet, "User-Agent: another")

	nothing := start(t, Config{Gateways: []Gateway{gw}, Limits: limits}) // better than nothing
	for range 2 {
		nothing.both(p.blob()).expect(t, http.StatusTemporaryRedirect, "")
	}
	limits.Again = time.Nanosecond
	s = start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: limits})
	for range 2 {
		again(http.StatusTemporaryRedirect, elsewhere, http.MethodGet)
	}
}

// Under a limit nobody is redirected: a gateway gives to all what it has.
func TestNoRedirectUnderALimit(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	gw := newGateway("http://gateway.example", blocks, well)
	s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Allow: Only(p.root), Limits: patient()})
	s.both(p.blob()).expect(t, http.StatusOK, "")
	if n := gw.asked.Load(); n > 0 {
		t.Errorf("the gateway was asked %d times", n)
	}
	foreign := start(t, Config{Gateways: []Gateway{gw}, Allow: Only(p.root), Limits: patient()})
	foreign.both(p.blob()).expect(t, http.StatusForbidden, codeDenied, "--open")
}

// What cannot be sent to a gateway and is not here is refused with the reason.
func TestRefusalWithoutAWay(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	gw := newGateway("http://127.0.0.1:8080", blocks, well)
	s := start(t, Config{Gateways: []Gateway{gw}, Limits: patient()})
	if got := s.from(elsewhere, http.MethodGet, p.blob()); got.StatusCode != http.StatusForbidden {
		t.Errorf("from elsewhere: %d", got.StatusCode)
	}
	s.get(p.blob(), "Range: bytes=0-1,5-6").expect(t, http.StatusForbidden, codeDenied, "http://127.0.0.1:8080", "--open")
	// Old versions of crane follow: better than nothing.
	s.get(p.blob(), "User-Agent: go-containerregistry/v0.20.0").expect(t, http.StatusTemporaryRedirect, "")
}

// More gateways than can be told apart are sources alone.
func TestManyGateways(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	var all []Gateway
	for i := range maxTargets + 2 {
		mood := int32(empty)
		if i >= maxTargets {
			mood = well
		}
		all = append(all, newGateway(fmt.Sprintf("http://gateway%d.example", i), blocks, mood))
	}
	s := start(t, Config{Gateways: all, Limits: patient(), Logger: (&testlog.Log{}).Logger()})
	s.get(p.manifest()).expect(t, http.StatusOK, "")
	s.get(p.blob()).expect(t, http.StatusServiceUnavailable, codeUnavailable)
}
