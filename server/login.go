package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/passwords"
	"github.com/image2ipfs/image2ipfs/internal/websafe"
)

// Passwords decides whom a server lets in; [Htpasswd] makes one.
type Passwords interface {
	// Check tells whether there is a user with this password. Origin is whose wrong
	// ones are counted together. Errors of those that are not let in match
	// [ErrLogin].
	Check(ctx context.Context, origin, user, password string) error
}

// ErrLogin is matched by errors about a user that there is not, or that has another
// password.
var ErrLogin = passwords.ErrWrong

// ErrHtpasswd is matched by errors about a file of passwords that makes no sense.
var ErrHtpasswd = passwords.ErrFile

// Htpasswd lets in the users of a file that htpasswd -B (bcrypt) wrote. It is read
// again when it changes; as long as what is there then makes no sense, those of before
// are let in and the logger is told. What is no regular file, such as a named pipe, is read
// once; until ctx ends it waits for who writes it. Errors match [ErrHtpasswd], or are those of reading it.
func Htpasswd(ctx context.Context, file string, o Options) (Passwords, error) {
	return passwords.Open(ctx, file, passwords.Options{Logger: o.Logger})
}

// ErrExposed is matched by errors about an address that others reach and that is to
// give or take there what should be protected.
var ErrExposed = errors.New("an address that others reach")

// Exposure is what a server gives and takes on which addresses. Those are nil where there
// is none, or it is not known yet.
type Exposure struct {
	Images, Push, Metrics net.Addr
	TLS, PushTLS          bool // Images and Push have it
	Passwords             bool // whoever pushes is asked for one
	AuthRead              bool // as is who reads
	AnyoneMayPush         bool
}

// Check tells whether a server may answer on such addresses. Pushes are taken from
// others only by TLS and with a password, unless AnyoneMayPush says that the risk is
// known; no password is asked for where it could be read on its way. Errors match
// [ErrExposed].
func (e Exposure) Check() error {
	if e.AnyoneMayPush {
		return nil
	}
	if e.Push != nil && !websafe.IsLoopback(e.Push) {
		switch {
		case !e.Passwords:
			return fmt.Errorf("%s is %w, and whoever pushes is not asked for a password: push by a loopback address, 127.0.0.1:5001, or with passwords and TLS", e.Push, ErrExposed)
		case !e.PushTLS:
			return fmt.Errorf("%s is %w, and passwords would be sent there in plain: push by a loopback address, 127.0.0.1:5001, or with TLS", e.Push, ErrExposed)
		}
	}
	if !e.AuthRead {
		return nil
	}
	for _, one := range []struct {
		addr   net.Addr
		secure bool
	}{{e.Images, e.TLS}, {e.Metrics, false}} {
		if one.addr != nil && !one.secure && !websafe.IsLoopback(one.addr) {
			return fmt.Errorf("%s is %w, and the passwords that reading takes would be sent there in plain: listen on a loopback address, or with TLS (which metrics on an address of their own have not)", one.addr, ErrExposed)
		}
	}
	return nil
}

// Expose tells whether a server may answer on its listeners, as [Exposure.Check] does.
func (c *Config) Expose(on Listeners) error {
	e := Exposure{TLS: c.TLS != nil, PushTLS: c.pushTLS() != nil, Passwords: c.Passwords != nil, AuthRead: c.AuthRead, AnyoneMayPush: c.AnyoneMayPush}
	for _, one := range []struct {
		l  net.Listener
		is *net.Addr
	}{{on.Images, &e.Images}, {on.Push, &e.Push}, {on.Metrics, &e.Metrics}} {
		if one.l != nil {
			*one.is = one.l.Addr()
		}
	}
	return e.Check()
}

func (c *Config) pushTLS() *tls.Config {
	if c.PushTLS != nil {
		return c.PushTLS
	}
	return c.TLS
}

// knock is what comes before each answer: who may not ask gets no further. With ask
// that takes a password; user is then who sent it.
func (s *Server) knock(w http.ResponseWriter, r *http.Request, ask bool) (user string, err error) {
	if isRegistryPath(r.URL.Path) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	}
	if err := s.guard(w, r); err != nil || !ask {
		return "", err
	}
	user, password, given := r.BasicAuth()
	if given {
		err = s.cfg.Passwords.Check(r.Context(), s.requestOrigin(r), user, password)
	}
	var slow *passwords.TriesError
	switch {
	case given && err == nil:
		return user, nil
	case errors.As(err, &slow):
		return "", &apiError{code: codeTooMany, message: slow.Error(), after: slow.After}
	case err != nil && !errors.Is(err, ErrLogin):
		return "", errorf(codeTooMany, "%w", err)
	}
	// RFC 7617; engines ask once without, and remember where they were asked.
	w.Header().Set("WWW-Authenticate", `Basic realm="image2ipfs", charset="UTF-8"`)
	if err == nil {
		err = errors.New("this address asks for user and password: log in (docker login, podman login, skopeo login)")
	}
	return "", errorf(codeUnauthorized, "%w", err)
}

// asked runs serve for those who may ask.
func (s *Server) asked(ask bool, serve func(*response, *http.Request) error) func(*response, *http.Request) error {
	return func(w *response, r *http.Request) (err error) {
		if w.user, err = s.knock(w, r, ask); err != nil {
			refuseBody(w, r)
			return err
		}
		w.private = ask
		return serve(w, r)
	}
}

// registryHost is by what a client names this server: what it was asked for, perhaps
// through a proxy that says so.
func (s *Server) registryHost(r *http.Request) string {
	if s.cfg.Registry != "" {
		return s.cfg.Registry
	}
	if host := strings.TrimSpace(r.Header.Get("X-Forwarded-Host")); host != "" && s.byProxy(r) {
		return host
	}
	return r.Host
}
