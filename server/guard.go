package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/websafe"
)

// loopbackKey is the key under which the context of a request that came by a
// listener on the loopback says so.
type loopbackKey struct{}

// onListener is the context of all requests that come by l.
func onListener(l net.Listener) context.Context {
	return context.WithValue(context.Background(), loopbackKey{}, websafe.IsLoopback(l.Addr()))
}

// ErrHost is matched by errors about a name of this server that makes no sense.
var ErrHost = errors.New("not the name of a host")

// CheckHost tells whether a text can be one of [Config.Hosts]. The error matches [ErrHost].
func CheckHost(name string) error {
	if !websafe.IsHost(name) {
		return fmt.Errorf("%q is %w: expected a name or an IP address without scheme and port, such as registry.local", name, ErrHost)
	}
	return nil
}

// guard refuses what a web page has a browser send. On the loopback no name is
// answered that is not this machine's, whatever it points to (DNS rebinding):
// 421 (RFC 9110, 15.5.20). Scripts may read what lies below /ipfs/, where the
// whole world has the same (trustless gateway spec), and nothing else.
func (s *Server) guard(w http.ResponseWriter, r *http.Request) error {
	if local, _ := r.Context().Value(loopbackKey{}).(bool); local && !websafe.IsLocalHost(r.Host, s.cfg.Hosts...) {
		return errorf(codeMisdirected, "this server answers on the loopback, and not for the host %q: ask 127.0.0.1 or localhost, or start it with --host %s", clip(r.Host), clip(hostName(r.Host)))
	}
	if err := websafe.CheckOrigin(r); err != nil {
		return errorf(codeDenied, "%s from the web page %q is refused: %w", clip(r.Method), clip(r.Header.Get("Origin")), err)
	}
	if strings.HasPrefix(r.URL.Path, "/ipfs/") && (isRead(r.Method) || r.Method == http.MethodOptions) {
		allowScripts(w.Header())
	}
	return nil
}

// allowScripts lets pages of all origins read an answer, and ask for it as gateways'
// clients do (Fetch, "CORS protocol").
func allowScripts(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Accept, Cache-Control, Content-Type, If-None-Match, Range, User-Agent, X-Requested-With")
	h.Set("Access-Control-Expose-Headers", "Content-Disposition, Content-Length, Content-Location, Content-Range, ETag, Ipfs-Uri, Retry-After, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output")
	h.Set("Access-Control-Max-Age", "86400")
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// guarded is knock before a handler of another kind.
func (s *Server) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.knock(w, r, s.cfg.AuthRead); err != nil {
			s.answerError(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// present tells whether the own store is where it was: while it is away, what is
// still known of it would begin answers that cannot be ended.
func (s *Server) present() error {
	if s.cfg.Dir == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(s.cfg.Dir, "version")); err != nil {
		return errorf(codeUnavailable, "the store is gone: %w", err)
	}
	return nil
}
