package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/internal/budget"
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

// LimitMemory has the runtime keep the process within total bytes, those of
// [Limits] when 0: it gives back what is free before it takes more. It is for
// programs that are this server and nothing else.
func LimitMemory(total int64) { budget.Enforce(total) }

// LeastMemory is the least with which a server is of use, in bytes.
const LeastMemory = budget.Least

// Serve answers on l until ctx is done, with TLS if Config.TLS says so. Then it takes no new requests, lets
// running transfers finish for at most Limits.Grace, cuts what is left, closes
// the server and returns. The error tells what went wrong with l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return errors.Join(s.serve(ctx, l, s, s.cfg.TLS), s.Close())
}

// ServeMetrics answers /metrics on l until ctx is done, in plain HTTP: l is
// meant to be out of reach of those who pull.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.guarded(s.metrics.handler))
	return s.serve(ctx, l, mux, nil)
}

// ServeBoth serves images, and beside them the metrics if they have a listener of
// their own; it may be nil. When one ends, so does the other.
func (s *Server) ServeBoth(ctx context.Context, images, metrics net.Listener) error {
	if metrics == nil {
		return s.Serve(ctx, images)
	}
	s.log.Info("metrics", "addr", metrics.Addr().String())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.ServeMetrics(ctx, metrics) })
	g.Go(func() error { return s.Serve(ctx, images) })
	return g.Wait()
}

func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler, secure *tls.Config) error {
	conns := newConnections(s.cfg.Limits.MaxConns, s.connOrigin)
	// No ReadTimeout: it would end the context of transfers that take longer.
	hs := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
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
