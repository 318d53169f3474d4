// Package transport has the HTTP transport of all that asks gateways, Kubos and
// registries, with one set of time-outs.
package transport

import (
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout = 10 * time.Second // until a connection is there, and again until its TLS is
	keepAlive   = 30 * time.Second // between probes of a connection that is silent
	idleTimeout = 90 * time.Second // of a connection that nobody uses
)

// New makes a transport that keeps up to perHost idle connections to one server.
// It takes its proxy from the environment and sets no time-out for whole answers,
// which take as long as an image does. Bodies come as they were sent: they are
// checked by their digests.
func New(perHost int) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         Dialer().DialContext,
		TLSHandshakeTimeout: dialTimeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        2 * perHost,
		MaxIdleConnsPerHost: perHost,
		IdleConnTimeout:     idleTimeout,
		ReadBufferSize:      64 << 10,
		DisableCompression:  true,
	}
}

// Dialer is what the transport dials with, for addresses that no URL has.
func Dialer() *net.Dialer { return &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive} }
