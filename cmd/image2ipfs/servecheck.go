package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/image2ipfs/image2ipfs/server"
)

// check tells all that is wrong with the settings as they are written: serve refuses them
// before it opens anything, and config check and SIGHUP by the same. Files that they name
// are not read.
func (o *serveOptions) check() error {
	return errors.Join(o.checkLog(), o.checkAddresses(), o.storeOptions.check(), o.checkGateways(), o.access.check(o.peers),
		o.peers.check(), o.push.check(o.peers), o.gc.check(), o.names.check(o.push))
}

// place is where a server listens.
type place struct {
	name, flag, text string
	host             string
	port             int
	addr             net.Addr // nil where it is not known before somebody listens
}

// places are where a server will listen; errors tell of addresses that are none.
func (o *serveOptions) places() (all []place, err error) {
	for _, p := range []place{
		{name: "images", flag: "--addr", text: o.addr},
		{name: "push", flag: "--push", text: o.push.addr},
		{name: "metrics", flag: "--metrics", text: o.access.metrics},
	} {
		if p.addr = o.sockets[p.name]; p.addr == nil {
			if p.text == "" && p.name != "images" {
				continue
			}
			if wrong := p.parse(); wrong != nil {
				err = errors.Join(err, usageError{fmt.Errorf("%s %q: %w; write it as 127.0.0.1:5000 or :5000", p.flag, p.text, wrong)})
				continue
			}
		}
		all = append(all, p)
	}
	return all, err
}

// parse reads the address, and asks nobody who is behind a name.
func (p *place) parse() (err error) {
	if p.text == "" {
		return errors.New("it is empty")
	}
	var port string
	if p.host, port, err = net.SplitHostPort(p.text); err != nil {
		if wrong, ok := errors.AsType[*net.AddrError](err); ok {
			err = errors.New(wrong.Err)
		}
		return err
	}
	if p.port, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port); err != nil {
		return fmt.Errorf("%q is no port, which is a number from 0 to 65535", port)
	}
	if p.host == "" {
		p.addr = &net.TCPAddr{Port: p.port}
		return nil
	}
	if ip, err := netip.ParseAddr(p.host); err == nil {
		p.addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(p.port)))
		return nil
	}
	return server.CheckHost(p.host)
}

// is tells whether who listens on one address finds the other in use.
func (p *place) is(q place) bool {
	all := func(host, other string) bool {
		return host == "" || host == "::" || host == "0.0.0.0" && !strings.Contains(other, ":")
	}
	return p.port != 0 && p.port == q.port && (strings.EqualFold(p.host, q.host) || all(p.host, q.host) || all(q.host, p.host))
}

// checkAddresses refuses addresses that are none, that are in each other's way, or where
// others would reach what should be protected.
func (o *serveOptions) checkAddresses() error {
	all, err := o.places()
	at := map[string]place{}
	for _, p := range all {
		at[p.name] = p
	}
	images, push, metrics := at["images"], at["push"], at["metrics"]
	if metrics.is(images) {
		err = errors.Join(err, usageError{errors.New("--metrics is --addr: /metrics is there without it")})
	}
	if push.is(images) {
		err = errors.Join(err, usageError{errors.New("--push is --addr: engines have that as a mirror, where names that were pushed would be taken for docker.io's; choose another port")})
	}
	if push.is(metrics) {
		err = errors.Join(err, usageError{errors.New("--push is --metrics: choose another port for one of them")})
	}
	seen := server.Exposure{
		Images: images.addr, Push: push.addr, Metrics: metrics.addr, TLS: o.access.tlsCert != "", PushTLS: o.access.tlsCert+o.push.tlsCert != "",
		Passwords: o.push.htpasswd != "", AuthRead: o.push.authRead, AnyoneMayPush: o.push.anyone,
	}
	return errors.Join(err, exposed(seen.Check()))
}

// exposed says what decides about addresses that others reach.
func exposed(err error) error {
	if err != nil {
		return usageError{fmt.Errorf("%w; --htpasswd, --tls-cert, --push-tls-cert, --metrics and --insecure-anyone-may-push decide about that", err)}
	}
	return nil
}

// checkGateways refuses URLs that are those of no gateway.
func (o *serveOptions) checkGateways() error {
	_, err := dialGateways(gatewayURLs(o.gateways)) // which asks nobody yet
	_, wrong := dialGateways(o.sources)
	if wrong != nil {
		wrong = fmt.Errorf("--source: %w", wrong)
	}
	return errors.Join(err, wrong)
}

// checkNames refuses names of hosts that are none.
func checkNames(flag string, names []string) error {
	for _, name := range names {
		if err := server.CheckHost(name); err != nil {
			return usageError{fmt.Errorf("%s: %w", flag, err)}
		}
	}
	return nil
}
