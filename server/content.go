package server

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// serveContent sends content, whose Content-Type and ETag are set, as the
// request's method, ranges and conditions ask (RFC 9110; distribution-spec,
// "Pulling blobs"). Blocks are written as they are, without copying.
func serveContent(w *response, r *http.Request, content io.ReadSeeker) error {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	cw := &contentWriter{response: w}
	http.ServeContent(cw, r, "", time.Time{}, content)
	switch cw.refused {
	case http.StatusRequestedRangeNotSatisfiable:
		return errorf(codeRangeInvalid, "range %q is outside the content, of which %s", r.Header.Get("Range"), w.Header().Get("Content-Range"))
	case http.StatusPreconditionFailed:
		return errorf(codePrecondition, "the content does not meet the conditions of the request")
	}
	return cw.err
}

// contentWriter leaves refusals to answerError, and lets files write themselves.
type contentWriter struct {
	*response
	refused int // status that was not sent
	err     error
}

func (w *contentWriter) WriteHeader(status int) {
	if h := w.Header(); status == http.StatusPartialContent && h.Get("Content-Length") == "0" {
		// A suffix of no bytes is not satisfiable (RFC 9110, 14.1.2), which net/http does not know.
		_, size, _ := strings.Cut(h.Get("Content-Range"), "/")
		h.Set("Content-Range", "bytes */"+size)
		status = http.StatusRequestedRangeNotSatisfiable
	}
	if status == http.StatusRequestedRangeNotSatisfiable || status == http.StatusPreconditionFailed {
		w.refused = status
		return
	}
	w.response.WriteHeader(status)
}

func (w *contentWriter) Write(p []byte) (int, error) {
	if w.refused != 0 {
		return len(p), nil
	}
	n, err := w.response.Write(p)
	return n, w.keep(err)
}

// ReadFrom is what http.ServeContent copies with: src is the limited rest of
// a file that can write itself block by block.
func (w *contentWriter) ReadFrom(src io.Reader) (int64, error) {
	if limited, ok := src.(*io.LimitedReader); ok {
		if f, ok := limited.R.(io.WriterTo); ok {
			lw := &limitedWriter{w: w.response, left: limited.N}
			n, err := f.WriteTo(lw)
			limited.N = lw.left
			if errors.Is(err, errFull) {
				err = nil
			}
			return n, w.keep(err)
		}
	}
	n, err := io.Copy(struct{ io.Writer }{w.response}, src)
	return n, w.keep(err)
}

// keep remembers the first error: http.ServeContent drops it.
func (w *contentWriter) keep(err error) error {
	if w.err == nil {
		w.err = err
	}
	return err
}

var errFull = errors.New("limit reached")

// limitedWriter takes left bytes and then stops its writer with errFull.
type limitedWriter struct {
	w    *response
	left int64
}

// ReadFrom lets a block go from the page cache to the connection.
func (l *limitedWriter) ReadFrom(src io.Reader) (int64, error) {
	part := &io.LimitedReader{R: src, N: l.left}
	if limited, ok := src.(*io.LimitedReader); ok { // one around another is not understood below
		part = &io.LimitedReader{R: limited.R, N: min(limited.N, l.left)}
	}
	n, err := l.w.ReadFrom(part)
	l.left -= n
	if err == nil && l.left == 0 {
		err = errFull
	}
	return n, err
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	if int64(len(p)) < l.left {
		n, err := l.w.Write(p)
		l.left -= int64(n)
		return n, err
	}
	n, err := l.w.Write(p[:l.left])
	l.left -= int64(n)
	if err == nil {
		err = errFull
	}
	return n, err
}
