package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// startUpload serves POST /v2/<name>/blobs/uploads/ (distribution-spec, "Pushing blobs"
// and "Mounting a blob from another repository"). A mount that cannot be becomes an
// upload.
func (s *Server) startUpload(w *response, r *request) error {
	query := r.URL.Query()
	if mount := query.Get("mount"); mount != "" {
		d, err := askedDigest(mount)
		if err != nil {
			return err
		}
		if from := query.Get("from"); oci.ValidName(from) {
			err := s.cfg.Pushed.Mount(r.Context(), from, r.name, d)
			if err == nil {
				return createdBlob(w, r, d)
			}
			if !errors.Is(err, oci.ErrNotFound) {
				return refusedPush(err)
			}
		}
	}
	algorithm := digest.SHA256
	if text := query.Get("digest-algorithm"); text != "" {
		if algorithm = digest.Algorithm(text); !algorithm.Available() {
			return errorf(codeDigestInvalid, "digest algorithm %q is not known here: sha256, sha384 and sha512 are", clip(text))
		}
	}
	if text := query.Get("digest"); text != "" {
		d, err := askedDigest(text)
		if err != nil {
			return err
		}
		algorithm = d.Algorithm()
	}
	up, err := s.uploads.begin(func(ctx context.Context) *pushed.Upload {
		return s.cfg.Pushed.Begin(ctx, r.name, algorithm)
	}, r.name, s.requestOrigin(r.Request))
	if err != nil {
		return err
	}
	if query.Has("digest") { // all in one request: nobody is told how it could go on
		return s.finish(w, r, up, func() {
			s.uploads.note("refused")
			_ = s.uploads.cancel(up) // what is left is gc's
		})
	}
	defer s.uploads.done(up)
	return tell(w, up, http.StatusAccepted)
}

// patchUpload serves PATCH /v2/<name>/blobs/uploads/<id>: a chunk, or all of a blob.
func (s *Server) patchUpload(w *response, r *request) error {
	up, err := s.uploads.take(r.reference, r.name)
	if err != nil {
		return err
	}
	defer s.uploads.done(up)
	if err := s.receive(w, r, up); err != nil {
		return err
	}
	return tell(w, up, http.StatusAccepted)
}

// putUpload serves PUT /v2/<name>/blobs/uploads/<id>?digest=: the end of an upload,
// which may bring the last chunk, or all of it.
func (s *Server) putUpload(w *response, r *request) error {
	up, err := s.uploads.take(r.reference, r.name)
	if err != nil {
		return err
	}
	return s.finish(w, r, up, func() { s.uploads.done(up) })
}

// finish receives what a request brings and makes the upload a blob; leave is called
// when that is refused, or has not come whole.
func (s *Server) finish(w *response, r *request, up *upload, leave func()) error {
	d, err := askedDigest(r.URL.Query().Get("digest"))
	if err == nil {
		err = s.receive(w, r, up)
	}
	if err != nil {
		leave()
		return err
	}
	release, err := s.uploads.hold(r.Context(), up)
	if err != nil {
		leave()
		return err
	}
	defer release()
	// What came whole is kept, also for a client that is gone by now.
	err = up.Commit(context.WithoutCancel(r.Context()), d)
	s.uploads.end(up)
	s.uploads.note(outcome(err, "taken", "refused"))
	if err != nil {
		return refusedPush(err)
	}
	return createdBlob(w, r, d)
}

func createdBlob(w *response, r *request, d digest.Digest) error {
	return created(w, "/v2/"+r.name+"/blobs/"+d.String(), d)
}

// tellUpload serves GET /v2/<name>/blobs/uploads/<id>: how much has come.
func (s *Server) tellUpload(w *response, r *request) error {
	up, err := s.uploads.take(r.reference, r.name)
	if err != nil {
		return err
	}
	defer s.uploads.done(up)
	return tell(w, up, http.StatusNoContent)
}

// cancelUpload serves DELETE /v2/<name>/blobs/uploads/<id>.
func (s *Server) cancelUpload(w *response, r *request) error {
	up, err := s.uploads.take(r.reference, r.name)
	if err != nil {
		return err
	}
	s.uploads.note("cancelled")
	if err := s.uploads.cancel(up); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tell answers with where an upload goes on. The place is a path: whichever way the
// client came, a proxy with TLS among them, leads there.
func tell(w *response, up *upload, status int) error {
	h := w.Header()
	setRange(h, up)
	h.Set("Cache-Control", "no-store")
	if status != http.StatusNoContent {
		h.Set("Content-Length", "0")
	}
	w.source = "pushed"
	w.WriteHeader(status)
	return nil
}

func setRange(h http.Header, up *upload) {
	h.Set("Location", "/v2/"+up.name+"/blobs/uploads/"+up.id)
	h.Set("Docker-Upload-UUID", up.id)
	h.Set("Range", "0-"+strconv.FormatInt(max(up.Size()-1, 0), 10))
}

// contentRange matches the Content-Range of a chunk (distribution-spec, "Pushing a blob
// in chunks").
var contentRange = regexp.MustCompile(`^([0-9]{1,18})-([0-9]{1,18})$`)

// receive appends a request's body to an upload. A chunk that does not begin where the
// last has ended is refused, and the upload goes on as it was; of one that is longer than
// it says, so much is taken, and its Range tells that.
func (s *Server) receive(w *response, r *request, up *upload) error {
	length, told := r.ContentLength, int64(-1) // -1 where nothing is told, by the header or Content-Range
	if text := r.Header.Get("Content-Range"); text != "" {
		bounds := contentRange.FindStringSubmatch(text)
		if bounds == nil {
			return s.outOfRange(w, up, fmt.Sprintf("Content-Range is %q: expected <first>-<last>", clip(text)))
		}
		first, _ := strconv.ParseInt(bounds[1], 10, 64) // 18 digits fit
		last, _ := strconv.ParseInt(bounds[2], 10, 64)
		if first != up.Size() || last < first {
			return s.outOfRange(w, up, fmt.Sprintf("Content-Range is %q: %d bytes have come, so expected the next to begin there", text, up.Size()))
		}
		if length >= 0 && length != last-first+1 {
			return errorf(codeSizeInvalid, "Content-Range %q is of %d bytes, Content-Length says %d", text, last-first+1, length)
		}
		told = last - first + 1
	}
	if length == 0 || r.Body == http.NoBody {
		return nil
	}
	if err := up.fits(length, s.cfg.Limits.Blob); err != nil {
		refuseBody(w, r.Request)
		return err
	}
	release, err := s.uploads.hold(r.Context(), up)
	if err != nil {
		return err
	}
	defer release()
	return s.copyBody(w, r, up, told)
}

func (s *Server) outOfRange(w *response, up *upload, message string) error {
	setRange(w.Header(), up)
	return errorf(codeRangeInvalid, "%s", message)
}

var bodies = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// copyBody copies a body as it comes: its sender may be slow for as long as it likes,
// but not stall. Told is how many bytes it has by its Content-Range, -1 without one.
func (s *Server) copyBody(w *response, r *request, up *upload, told int64) error {
	came := int64(0)
	buf := bodies.Get().(*[256 << 10]byte)
	defer bodies.Put(buf)
	for {
		w.awaitBody(time.Now().Add(s.cfg.Limits.Stall))
		n, err := r.Body.Read(buf[:])
		w.moves()
		came += int64(n)
		if told >= 0 && came > told {
			n -= int(came - told)
		}
		if n > 0 {
			if err := up.fits(int64(n), s.cfg.Limits.Blob); err != nil {
				refuseBody(w, r.Request)
				return err
			}
			if _, err := up.Write(buf[:n]); err != nil {
				return err
			}
		}
		if told >= 0 && (came > told || err == io.EOF && came < told) {
			return s.outOfRange(w, up, fmt.Sprintf("Content-Range is %q: expected %d bytes, %d came before this was noticed", clip(r.Header.Get("Content-Range")), told, came))
		}
		if err == io.EOF {
			w.awaitBody(time.Time{})
			return nil
		}
		if err != nil {
			w.broken = true
			return errorf(codeUploadInvalid, "after %d bytes of the blob nothing more came: %w", up.Size(), err)
		}
	}
}
