// Package websafe keeps web pages away from what answers on the loopback: a name
// that a page's owner has point to 127.0.0.1 a moment later (DNS rebinding) makes
// this machine's server part of his site for the browser, and a form may be sent
// to any address.
package websafe

import (
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// IsLoopback tells whether only this machine reaches a listener's address.
func IsLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// IsLocalHost tells whether a request's Host (RFC 9110, 7.2) is one by which this
// machine is meant: localhost, an address of 127.0.0.0/8, [::1], or one of names,
// with any port. None at all is, too: browsers always send one.
func IsLocalHost(host string, names ...string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = plain(host)
	if host == "" || host == "localhost" {
		return true
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Unmap().IsLoopback() {
		return true
	}
	return slices.ContainsFunc(names, func(name string) bool { return plain(name) == host })
}

// hostName matches host names (RFC 1123, 2.1) and what resolvers take besides.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)

// IsHost tells whether a text is a host's name or IP address, without a port.
func IsHost(text string) bool {
	if _, err := netip.ParseAddr(plain(text)); err == nil {
		return true
	}
	return len(text) <= 254 && hostName.MatchString(text)
}

// plain is a host name without brackets, case and the dot of the DNS root.
func plain(host string) string {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

var origins = http.NewCrossOriginProtection()

// CheckOrigin refuses a request that may write and comes from a page of another
// origin than the server's own (Fetch, "Origin header"; Fetch Metadata). What no
// browser sends passes.
func CheckOrigin(r *http.Request) error { return origins.Check(r) }
