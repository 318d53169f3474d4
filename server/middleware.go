package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
)

// response is a ResponseWriter that knows what became of the request.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	place   *place // of its connection; nil when that is not known
	holding

	status int    // 0 before the header is sent
	bytes  int64  // of the body
	source string // where the content came from, for the log
	target string // where the client was sent, for the log
	broken bool   // the request's body ended before its end, or stalled

	private bool   // who asks was asked for a password…
	user    string // …and is this one
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	w.setStatus(status)
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

// setStatus notes that the answer begins.
func (w *response) setStatus(status int) {
	if w.status == 0 {
		if w.private {
			keepPrivate(w.Header())
		}
		w.status = status
		w.begun.Store(true)
	}
}

// keepPrivate has what is asked for by password given by no shared cache to others
// (RFC 9111, 3.5).
func keepPrivate(h http.Header) {
	if kept, public := strings.CutPrefix(h.Get("Cache-Control"), "public"); public {
		h.Set("Cache-Control", "private"+kept)
	}
}

// chunk is what a client must take before the write times out.
const chunk = 256 << 10

// Write sends p in chunks, each with a deadline of its own: a client may be
// slow for as long as it likes, but not stall.
func (w *response) Write(p []byte) (written int, err error) {
	w.setStatus(http.StatusOK)
	for first := true; first || len(p) > 0; first = false {
		w.extend()
		n, err := w.ResponseWriter.Write(p[:min(len(p), chunk)])
		written, w.bytes = written+n, w.bytes+int64(n)
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// ReadFrom is Write for what lies in a file.
func (w *response) ReadFrom(src io.Reader) (written int64, err error) {
	limited, isLimited := src.(*io.LimitedReader)
	to, takes := w.ResponseWriter.(io.ReaderFrom)
	if !isLimited || !takes {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	w.setStatus(http.StatusOK)
	for limited.N > 0 {
		w.extend()
		part := &io.LimitedReader{R: limited.R, N: min(limited.N, chunk)}
		n, err := to.ReadFrom(part)
		limited.N -= n
		written, w.bytes = written+n, w.bytes+n
		if err != nil || n == 0 {
			return written, err
		}
	}
	return written, nil
}

func (w *response) extend() {
	w.moves()
	w.unlessCut(func() {
		// Fails for test recorders only, which have no connection.
		_ = w.control.SetWriteDeadline(time.Now().Add(w.stall))
	})
}

// moves notes that the client takes or sends something.
func (w *response) moves() {
	w.moved.Store(time.Now().UnixNano())
	w.place.moves()
}

// observe runs serve, answers with its error, contains its panics and logs.
func (s *Server) observe(hw http.ResponseWriter, r *http.Request, serve func(*response, *http.Request) error) {
	start := time.Now()
	w := &response{ResponseWriter: hw, control: http.NewResponseController(hw), stall: s.cfg.Limits.Stall}
	w.place, _ = r.Context().Value(placeKey{}).(*place)
	r = r.WithContext(w.begin(r.Context(), s.requestOrigin(r)))
	defer w.finish()
	leave, ok := s.enter(w, r)
	if !ok {
		return
	}
	defer leave()
	s.running.Add(1)
	err := s.contained(w, r, serve)
	s.running.Add(-1)
	if err != nil && w.wasCut() {
		err = errCut
	}
	gone := isFault(err) && !w.wasCut() && hasGone(r)
	if gone {
		err = fmt.Errorf("the client has gone: %w", err)
	}
	cut := err != nil && (gone || w.status != 0)
	if err != nil && !cut {
		s.answerError(w, r, err)
	}
	s.metrics.count(w, r, time.Since(start))
	s.traffic.Count(time.Now(), w.bytes)
	s.logAccess(w, r, start, err)
	if cut {
		// The client must see that the body is not whole.
		panic(http.ErrAbortHandler)
	}
}

// hasGone tells whether the client has left before its answer: nobody is there to be told
// anything, and what could not be done for it is no failure of this server.
func hasGone(r *http.Request) bool { return errors.Is(r.Context().Err(), context.Canceled) }

// refuseBody says that a request's body is not read, and not waited for.
func refuseBody(w *response, r *http.Request) {
	if r.ContentLength != 0 {
		_ = w.control.SetReadDeadline(time.Now().Add(bodyTimeout))
		w.Header().Set("Connection", "close")
	}
}

func (s *Server) contained(w *response, r *http.Request, serve func(*response, *http.Request) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "path", clip(r.URL.Path), "panic", p, "stack", string(debug.Stack()))
			err = errInternal
		}
	}()
	return serve(w, r)
}

// viewOf is what a request for the page asks to see, for the log: view, root, layer and path of
// its query.
func viewOf(r *http.Request) string {
	if r.URL.Path != "/" || r.URL.RawQuery == "" {
		return ""
	}
	asked, seen := r.URL.Query(), url.Values{}
	for _, name := range []string{"view", "root", "layer", "path"} {
		if asked.Has(name) {
			seen.Set(name, asked.Get(name))
		}
	}
	return clip(seen.Encode())
}

func (s *Server) logAccess(w *response, r *http.Request, start time.Time, err error) {
	level := slog.LevelInfo
	switch {
	case errors.Is(err, fs.ErrPermission): // the own store belongs to somebody else: every request will fail
		level = slog.LevelError
	case r.URL.Path == "/healthz":
		level = slog.LevelDebug
	case err != nil && hasGone(r): // nothing is wrong here
	case w.status >= http.StatusInternalServerError, err != nil && w.status < http.StatusBadRequest:
		level = slog.LevelWarn
	}
	if !s.log.Enabled(r.Context(), level) || level < slog.LevelWarn && s.live.Load().NoAccessLog {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", clip(r.Method)), slog.String("path", clip(r.URL.Path)), slog.Int("status", w.status),
		slog.Int64("bytes", w.bytes), slog.Duration("duration", time.Since(start)), slog.String("remote", r.RemoteAddr),
	}
	for _, a := range []slog.Attr{
		slog.String("user", clip(w.user)), slog.String("source", w.source), slog.String("target", w.target),
		slog.String("query", viewOf(r)), slog.String("range", clip(r.Header.Get("Range"))), slog.String("agent", clip(r.UserAgent())),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}
