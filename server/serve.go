package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/silent"
)

// Time-outs and sizes of connections. Bodies of answers have no time-out of
// their own: see Limits.Stall.
const (
	headerTimeout  = 15 * time.Second
	bodyTimeout    = 5 * time.Second // of requests: nothing is ever sent here
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
	maxStreams     = 100 // requests of one HTTP/2 connection at once
)

// Memory is what a process may hold for strangers, see [NewMemory].
type Memory = budget.Budget

// NewMemory divides total bytes, 512 MiB when 0, among all that strangers can have a
// process hold.
func NewMemory(total int64) *Memory { return budget.New(total) }

// LimitMemory has the runtime keep the process within total bytes, those of
// [Limits] when 0: it gives back what is free before it takes more. It is for
// programs that are this server and nothing else.
func LimitMemory(total int64) { budget.Enforce(total) }

// DefaultMemory is what a server takes when nothing else is said, in bytes.
const DefaultMemory = budget.Default

// LeastMemory is the least with which a server is of use, in bytes.
const LeastMemory = budget.Least

// Listeners are what a server answers on.
type Listeners struct {
	Images  net.Listener
	Push    net.Listener // for [Server.PushHandler]; nil for none
	Metrics net.Listener // for /metrics alone, in plain HTTP: it is meant to be out of reach of those who pull; nil for none
}

// Serve answers on l until ctx is done, with TLS if Config.TLS says so. Then it takes no new requests, lets
// running transfers finish for at most Limits.Grace, cuts what is left, closes
// the server and returns. The error tells what went wrong with l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.ServeAll(ctx, Listeners{Images: l})
}

// ServeMetrics answers /metrics on l until ctx is done, in plain HTTP: l is
// meant to be out of reach of those who pull.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.guarded(s.metrics.handler))
	return s.serve(ctx, "metrics", l, mux, nil)
}

// ServeAll is Serve on several listeners. When one ends, so do the others. The error
// matches [ErrExposed] when they are not for what they are to serve.
func (s *Server) ServeAll(ctx context.Context, on Listeners) error {
	if err := s.cfg.Expose(on); err != nil {
		return errors.Join(err, s.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serve(ctx, "images", on.Images, s, s.cfg.TLS) })
	if on.Push != nil {
		secure := s.cfg.pushTLS()
		s.log.Info("pushes are taken", "addr", on.Push.Addr().String(), "tls", secure != nil, "passwords", s.cfg.Passwords != nil)
		g.Go(func() error { return s.serve(ctx, "push", on.Push, s.PushHandler(), secure) })
	}
	if on.Metrics != nil {
		s.log.Info("metrics", "addr", on.Metrics.Addr().String())
		g.Go(func() error { return s.ServeMetrics(ctx, on.Metrics) })
	}
	return errors.Join(g.Wait(), s.Close())
}

// serve answers on a listener, whose name says what it is for.
func (s *Server) serve(ctx context.Context, name string, l net.Listener, h http.Handler, secure *tls.Config) error {
	cost := int64(connCost)
	if secure != nil {
		cost = secureCost
	}
	conns := newConnections(s.cfg.Limits.MaxConns, s.connOrigin, s.memory.Connections, cost)
	defer s.listening.begin(name, conns)()
	// No ReadTimeout: it would end the context of transfers that take longer.
	hs := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          silent.Errors(s.log),
		TLSConfig:         secure,
		ConnState:         conns.track,
		BaseContext:       onListener,
		ConnContext:       conns.context,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
	run := hs.Serve
	if secure != nil {
		run = func(l net.Listener) error { return hs.ServeTLS(l, "", "") }
	}
	hs.RegisterOnShutdown(s.pushes.End) // who listens would not go by himself
	boundUnsent(l)
	failed := make(chan error, 1)
	go func() { failed <- run(conns.limit(l)) }()
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
		if running := s.running.Load(); running > 0 && h == http.Handler(s) {
			s.log.Info(fmt.Sprintf("stopping; waiting up to %s for %d running transfers; interrupt again to end now", s.cfg.Limits.Grace, running))
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Limits.Grace)
		defer cancel()
		if err := hs.Shutdown(grace); err != nil {
			s.log.Warn("transfers cut at shutdown", "after", s.cfg.Limits.Grace)
		}
		if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
			err = served
		}
	}
	return errors.Join(err, hs.Close())
}
