package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/server/page"
	"github.com/image2ipfs/image2ipfs/trust"
)

// errorCode is a code of the distribution spec, "Error Codes"; the last six
// are not in its table but in use by registries for what it has no code for.
type errorCode string

const (
	codeNameInvalid     errorCode = "NAME_INVALID"
	codeNameUnknown     errorCode = "NAME_UNKNOWN"
	codeManifestUnknown errorCode = "MANIFEST_UNKNOWN"
	codeManifestInvalid errorCode = "MANIFEST_INVALID"
	codeBlobUnknown     errorCode = "BLOB_UNKNOWN"
	codeDigestInvalid   errorCode = "DIGEST_INVALID"
	codeUnauthorized    errorCode = "UNAUTHORIZED"
	codeDenied          errorCode = "DENIED"
	codeUnsupported     errorCode = "UNSUPPORTED"
	codeTooMany         errorCode = "TOOMANYREQUESTS"

	codeUploadUnknown       errorCode = "BLOB_UPLOAD_UNKNOWN"
	codeUploadInvalid       errorCode = "BLOB_UPLOAD_INVALID"
	codeSizeInvalid         errorCode = "SIZE_INVALID"
	codeManifestBlobUnknown errorCode = "MANIFEST_BLOB_UNKNOWN"

	codeNumberInvalid errorCode = "PAGINATION_NUMBER_INVALID"
	codeRangeInvalid  errorCode = "RANGE_INVALID"
	codePrecondition  errorCode = "PRECONDITION_FAILED"
	codeNotAcceptable errorCode = "NOT_ACCEPTABLE"
	codeMisdirected   errorCode = "MISDIRECTED_REQUEST"
	codeUnavailable   errorCode = "UNAVAILABLE"
	codeUnknown       errorCode = "UNKNOWN"
)

// statuses is the one table from error codes to HTTP statuses.
var statuses = map[errorCode]int{
	codeNameInvalid:     http.StatusBadRequest,
	codeNameUnknown:     http.StatusNotFound,
	codeManifestUnknown: http.StatusNotFound,
	codeManifestInvalid: http.StatusNotFound, // so that an engine that asks a mirror goes on
	codeBlobUnknown:     http.StatusNotFound,
	codeDigestInvalid:   http.StatusBadRequest,
	codeUnauthorized:    http.StatusUnauthorized,
	codeDenied:          http.StatusForbidden,
	codeUnsupported:     http.StatusMethodNotAllowed,
	codeTooMany:         http.StatusTooManyRequests,

	codeUploadUnknown:       http.StatusNotFound,
	codeUploadInvalid:       http.StatusBadRequest,
	codeSizeInvalid:         http.StatusBadRequest,
	codeManifestBlobUnknown: http.StatusNotFound,

	codeNumberInvalid: http.StatusBadRequest,
	codeRangeInvalid:  http.StatusRequestedRangeNotSatisfiable,
	codePrecondition:  http.StatusPreconditionFailed,
	codeNotAcceptable: http.StatusNotAcceptable,
	codeMisdirected:   http.StatusMisdirectedRequest,
	codeUnavailable:   http.StatusServiceUnavailable,
	codeUnknown:       http.StatusInternalServerError,
}

// apiError is an error that knows its code. Handlers return it, or any other
// error, and answerError alone turns it into a response.
type apiError struct {
	code    errorCode
	status  int // 0 for that of the code
	message string
	cause   error
	after   time.Duration // when the client may ask again; 0 where that is not known
}

// httpStatus is the status of an answer with the error.
func (e *apiError) httpStatus() int { return cmp.Or(e.status, statuses[e.code]) }

func (e *apiError) Error() string { return string(e.code) + ": " + e.message }
func (e *apiError) Unwrap() error { return e.cause }

func errorf(code errorCode, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &apiError{code: code, message: err.Error(), cause: errors.Unwrap(err)}
}

// absent gives err, which came of looking for something, the code for its
// absence, unless it tells of something worse than absence.
func absent(code errorCode, err error) error {
	var known *apiError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, trust.ErrUntrusted):
		code = codeDenied
	case errors.Is(err, budget.ErrFull):
		code = codeTooMany
	case errors.Is(err, ipfs.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		code = codeUnavailable
	case errors.Is(err, oci.ErrManifestInvalid), errors.Is(err, oci.ErrLimit) && code != codeUnknown:
		code = codeManifestInvalid
	case errors.Is(err, oci.ErrCorrupt):
		code = codeUnknown
	case errors.Is(err, oci.ErrNameUnknown):
		code = codeNameUnknown
	case errors.Is(err, oci.ErrManifestUnknown):
		code = codeManifestUnknown
	case errors.Is(err, oci.ErrNotFound):
	default:
		code = codeUnknown
	}
	return &apiError{code: code, message: err.Error(), cause: err}
}

// isAbsent tells whether err says that something is certainly not there.
func isAbsent(err error) bool {
	var e *apiError
	return errors.As(absent(codeNameUnknown, err), &e) && e.code == codeNameUnknown
}

// isFault tells whether err is to be answered with a 5xx.
func isFault(err error) bool {
	var e *apiError
	return errors.As(absent(codeUnknown, err), &e) && e.httpStatus() >= http.StatusInternalServerError
}

// errInternal stands for a panic, of which the log has more.
var errInternal = errorf(codeUnknown, "internal error")

// retryAfter is how many seconds clients are told to wait: as long as the error says,
// or a source wants to be left alone, 5 when that is not known.
func retryAfter(err error) string {
	var known *apiError
	if errors.As(err, &known) && known.after > 0 {
		return strconv.Itoa(max(1, int(math.Ceil(known.after.Seconds()))))
	}
	if until, busy := ipfs.BusyUntil(err); busy {
		return strconv.Itoa(max(1, int(math.Ceil(time.Until(until).Seconds()))))
	}
	return "5"
}

// clientText is message as one line that does not name dir, the store's, or
// what lies in it by full paths, nor addresses of this machine's network: its
// resolver's, and those of both ends of a connection that failed. A block that
// several sources lack is named once.
func clientText(message, dir string) string {
	if dir != "" {
		message = strings.ReplaceAll(message, dir+string(filepath.Separator), "")
		message = strings.ReplaceAll(message, " "+dir, "")
		message = strings.ReplaceAll(message, dir, "the store")
	}
	message = resolverAddress.ReplaceAllString(message, "$1")
	message = connectionEnds.ReplaceAllString(message, "$1:")
	named := map[string]bool{}
	message = blockName.ReplaceAllStringFunc(message, func(name string) string {
		key := strings.TrimRight(name, ": ")
		if named[key] {
			return ""
		}
		named[key] = true
		return name
	})
	return strings.ReplaceAll(message, "\n", "; ")
}

// What the standard library's errors say of the network beside what went wrong.
var (
	resolverAddress = regexp.MustCompile(`\b(lookup \S+) on \S+:\d+`)
	connectionEnds  = regexp.MustCompile(`\b((?:dial|read|write) (?:tcp|udp|ip)[46]?) \S+:\d+:`)
)

// blockName is how errors begin that tell of a block.
var blockName = regexp.MustCompile(`\bblock [0-9A-Za-z]{40,}:? `)

// answerError answers with the error: as the spec's JSON under /v2/ ("Error
// Codes"), as a document of the page to browsers at /, as a line of text elsewhere. The
// store's directory is not told.
func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	var e *apiError
	if !errors.As(absent(codeUnknown, err), &e) {
		return
	}
	h := w.Header()
	for _, name := range []string{"Docker-Content-Digest", "ETag", "Last-Modified", "Content-Disposition", "Content-Location", "Accept-Ranges"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch e.code {
	case codeUnavailable, codeTooMany:
		h.Set("Retry-After", retryAfter(err))
	case codeUnsupported:
		if h.Get("Allow") == "" {
			h.Set("Allow", "GET, HEAD")
		}
	}
	body := s.errorText(h, r, e)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.httpStatus())
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) //nolint:gosec // lines, JSON and what html/template made; when the client is gone nobody is left to tell
	}
}

// errorText is the body of an answer with an error, whose media type it sets: JSON for
// registries' clients, HTML for browsers that ask for the page, a line for all others.
func (s *Server) errorText(h http.Header, r *http.Request, e *apiError) []byte {
	message := clientText(e.message, s.cfg.Dir)
	if isRegistryPath(r.URL.Path) {
		h.Set("Content-Type", "application/json")
		return errorBody(e.code, message)
	}
	if s.wantsPage(r) {
		if body, err := s.page.Error(s.pageAsker(r), e.httpStatus(), message); err == nil {
			page.Protect(h)
			h.Set("Content-Type", "text/html; charset=utf-8")
			return body
		}
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	return []byte(message + "\n")
}

func errorBody(code errorCode, message string) []byte {
	type entry struct {
		Code    errorCode `json:"code"`
		Message string    `json:"message"`
	}
	body, err := json.Marshal(map[string][]entry{"errors": {{code, strings.ToValidUTF8(message, "�")}}})
	if err != nil { // strings always marshal
		return []byte(`{"errors":[{"code":"UNKNOWN","message":""}]}`)
	}
	return append(body, '\n')
}
