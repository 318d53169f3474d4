package server

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// requestCost is about what a request takes beside its content: goroutine, buffers
	// and header.
	requestCost = 64 << 10
	// placePatience is how long a request waits for others to make room.
	placePatience = 2 * time.Second
)

// enter takes a place for a request that shares its connection with others (HTTP/2);
// others came with one. When there is none it is answered, without a body: that would
// wait for whoever takes none. What tells whether this server is well needs no place.
func (s *Server) enter(w *response, r *http.Request) (leave func(), ok bool) {
	if r.ProtoMajor < 2 || r.URL.Path == "/healthz" || r.URL.Path == "/metrics" {
		return func() {}, true
	}
	ctx, cancel := context.WithTimeout(r.Context(), placePatience)
	defer cancel()
	leave, err := s.memory.Requests.Take(ctx, requestCost)
	if err != nil {
		h := w.Header()
		h.Set("Retry-After", "1")
		h.Set("Content-Length", strconv.Itoa(0))
		w.WriteHeader(http.StatusTooManyRequests)
		s.metrics.count(w, r, time.Duration(0))
	}
	return leave, err == nil
}

// originOf is whom a share belongs to: an IPv4 address, or an IPv6 network of 64
// bits, of which one machine has all addresses.
func originOf(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	net, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return net.String()
}

// connOrigin is whose a connection is. Those of proxies stand each for itself:
// behind them are many.
func (s *Server) connOrigin(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil || s.isProxy(at.Addr()) {
		return remote
	}
	return originOf(at.Addr())
}

// requestOrigin is whose a request is: behind proxies, whom the last of them that is
// not one itself says that it came from.
func (s *Server) requestOrigin(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr := at.Addr()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.isProxy(addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop
	}
	return originOf(addr)
}

// byProxy tells whether a request came by a proxy that is to be believed.
func (s *Server) byProxy(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && s.isProxy(at.Addr())
}

func (s *Server) isProxy(addr netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.Proxies, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}
