package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

const typeBlob = "application/octet-stream"

// blob serves /v2/<name>/blobs/<digest> (distribution-spec, "Pulling blobs"):
// by redirect, from the own store, or through this server when it is open. No
// way looks at more than the blob's first block before the answer begins.
func (s *Server) blob(w *response, r *request) error {
	if err := checkDigest(r.reference); err != nil {
		return err
	}
	l, err := s.openNamed(r)
	if err != nil {
		return err
	}
	d := digest.Digest(r.reference)
	b, err := l.Locate(r.Context(), d)
	s.roots.recount(r.root, l) // it keeps the directories that it opens
	// Who asks so of what is pushed uploads what is not there, and nothing else.
	if err == nil && r.local != nil && r.Method == http.MethodHead {
		err = s.cfg.Pushed.Whole(r.Context(), b.CID)
	}
	if err == nil {
		err = s.signed(r, l, d, true)
	}
	if err != nil {
		return absent(codeBlobUnknown, err)
	}
	c, h := b.CID, w.Header()
	setDigest(h, d)
	h.Set("Cache-Control", cacheForever)
	if b.Inflate {
		return s.inflatedBlob(w, r, d, b)
	}
	hasLocal := func() bool { return s.hasBlock(r.Context(), c) }
	canSend := func() bool { return mayFetch(r.Context()) || hasLocal() }
	var gw *remoteGateway
	if r.local == nil && !w.private { // whom a gateway serves is not this server's to say
		gw = s.redirects.gateway(r.Request, r.root, canSend)
	}
	if gw != nil && (!hasLocal() || s.redirects.holds(r.Context(), gw, c)) {
		s.redirects.sent.note(r.Request)
		return redirectTo(w, gw.gateway.FileURL(r.root, b.Path))
	}
	f, err := s.openSame(w, r, c, d)
	if err != nil {
		return err
	}
	defer f.Close()
	h.Set("Content-Type", typeBlob)
	return serveFile(w, r.Request, f)
}

// redirectTo sends the client elsewhere. Which gateway answers can change, so
// the redirect is not to be remembered.
func redirectTo(w *response, location string) error {
	h := w.Header()
	h.Set("Location", location)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	w.source, w.target = "redirect", location
	w.WriteHeader(http.StatusTemporaryRedirect)
	return nil
}

// refusal says why a foreign blob is not served to who asks.
func (s *Server) refusal(r *request) error {
	const hint = "start it with --open to let it fetch and stream what others published"
	name := ref.Ciq(r.root)
	switch {
	case s.redirects.followed(askerOf(r.Request), func() bool { return false }) != 0:
		return absent(codeBlobUnknown, fmt.Errorf("%w; %s", s.redirects.nobody(name), hint))
	case s.redirects != nil && len(s.redirects.gateways) > 0:
		return errorf(codeDenied, "%s is not in this server's store, and this request cannot be sent to %s; %s", name, s.redirects.names(), hint)
	case !s.foreign.isEmpty():
		return errorf(codeDenied, "%s is not in this server's store; %s", name, hint)
	default:
		return errorf(codeBlobUnknown, "a part of %s is missing from this server's store, and it has no other source", name)
	}
}

// openedFile is one to close.
type openedFile interface {
	sizedFile
	io.Closer
}

// sizedFile is a file of known length.
type sizedFile interface {
	io.ReadSeeker
	Size() int64
}

// serveFile serves a file after its first wanted block has come, so that what
// can't be had is an error and not a cut connection, for HEAD as for GET.
func serveFile(w *response, r *http.Request, f sizedFile) error {
	ranges, err := severalRanges(r, w.Header(), f.Size())
	if err != nil {
		return err
	}
	if len(ranges) > 0 {
		return serveRanges(w, r, f, ranges)
	}
	if one := wanted(r.Header.Get("Range"), f.Size()); one.length > 0 && r.Header.Get("If-None-Match") == "" {
		expect(f, one)
		if err := readByte(f, one.start); err != nil {
			return err
		}
	}
	return serveContent(w, r, f)
}

// expect tells a file of blocks which parts of it are going to be read, so that no
// others are fetched.
func expect(f sizedFile, ranges ...byteRange) {
	file, ok := f.(interface{ Expect(parts ...ipfs.Extent) })
	if !ok {
		return
	}
	parts := make([]ipfs.Extent, len(ranges))
	for i, one := range ranges {
		parts[i] = ipfs.Extent{Start: one.start, End: one.start + one.length}
	}
	file.Expect(parts...)
}

// readByte makes sure that a file can be read at start.
func readByte(f sizedFile, start int64) error {
	if _, err := f.Seek(start, io.SeekStart); err != nil {
		return err
	}
	_, err := f.Read(make([]byte, 1))
	return absent(codeBlobUnknown, err)
}

// wanted is the one range that a request names of a content of this size: all of it
// where it names none that can be read, and nothing where it lies outside.
func wanted(rangeHeader string, size int64) byteRange {
	spec, ok := strings.CutPrefix(rangeHeader, "bytes=")
	one, fine := parseRange(strings.Trim(spec, " \t"), size)
	if !ok || !fine {
		return byteRange{0, size}
	}
	return one
}
