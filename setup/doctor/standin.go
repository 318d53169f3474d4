package doctor

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/silent"
)

// standIn answers in the place of registries to which engines go on from the mirror, so
// that none of them is asked: it notes who was wanted, and has nothing. Programs are led
// to it as to an HTTP proxy.
type standIn struct {
	mirror string // host and port of the server, which is asked itself
	proxy  string // URL

	server *http.Server
	ended  chan struct{}

	mu       sync.Mutex
	wanted   []string // registries, in the order in which they were
	mirrored bool     // the server was asked; seen by RoundTrip alone
}

// newStandIn starts one on loopback. It must be closed.
func newStandIn(ctx context.Context, mirror string) (*standIn, error) {
	u, err := url.Parse(mirror)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &standIn{mirror: u.Host, proxy: "http://" + listener.Addr().String(), ended: make(chan struct{})}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: ordinaryTimeout, ErrorLog: silent.Errors(nil)}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(listener) // until Close
	}()
	return s, nil
}

// Close ends it and what still asks; there is nothing to lose.
func (s *standIn) Close() {
	_ = s.server.Close()
	<-s.ended
}

// note notes that a registry was wanted; its port is left out where it is HTTPS's own.
func (s *standIn) note(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if host = strings.TrimSuffix(host, ":443"); !slices.Contains(s.wanted, host) {
		s.wanted = append(s.wanted, host)
	}
}

// seen are the registries that were wanted, and whether the server was asked.
func (s *standIn) seen() (wanted []string, mirrored bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wanted), s.mirrored
}

// ServeHTTP is the proxy: it lets nobody through.
func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect || r.URL.IsAbs() {
		s.note(r.Host)
	}
	http.Error(w, "image2ipfs doctor looks where names go, and lets nobody through", http.StatusForbidden)
}

// environment has a program ask the stand-in, and the server itself.
func (s *standIn) environment() []string {
	return append(os.Environ(), "HTTPS_PROXY="+s.proxy, "HTTP_PROXY="+s.proxy, "NO_PROXY="+s.mirror)
}

// instead is a transport that asks the server by another, and nobody else.
func (s *standIn) instead(ask http.RoundTripper) http.RoundTripper { return standInTransport{s, ask} }

type standInTransport struct {
	*standIn
	ask http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t standInTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if sameHost(r.URL.Host, t.mirror) {
		t.mu.Lock()
		t.mirrored = true
		t.mu.Unlock()
		return t.ask.RoundTrip(r)
	}
	t.note(r.URL.Host)
	return &http.Response{
		StatusCode: http.StatusNotFound, Status: http.StatusText(http.StatusNotFound),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, Request: r,
	}, nil
}

// sameHost tells whether two hosts with ports are one; loopback has several names.
func sameHost(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	return a == b || portA == portB && isLoopback(hostA) && isLoopback(hostB)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// ordinaryTimeout is more than a mirror and a registry need to say that they do not
// have an image; who takes longer does not get an answer from a registry.
const ordinaryTimeout = 10 * time.Second
