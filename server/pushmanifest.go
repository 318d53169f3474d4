package server

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// putManifest serves PUT /v2/<name>/manifests/<reference> (distribution-spec, "Pushing
// Manifests"). The answer names what the tag is from now on, and all others to whose
// images the manifest refers, by CID.
func (s *Server) putManifest(w *response, r *request) error {
	m, err := pushedManifest(r)
	if err != nil {
		return err
	}
	length := r.ContentLength // of the body; -1 when it is not told
	switch {
	case length < 0:
		length = 2 * oci.MaxManifestSize // its buffer grows
	case length > oci.MaxManifestSize:
		return errManifestTooLarge
	}
	release, err := borrow(r.Context(), s.memory.Reading, length, "too many manifests are being read")
	if err != nil {
		return err
	}
	defer release()
	if m.Content, err = s.manifestBody(w, r); err != nil {
		return err
	}
	d := m.Descriptor.Digest
	algorithm := digest.SHA256
	if d != "" {
		algorithm = d.Algorithm()
	}
	if got := algorithm.FromBytes(m.Content); d != "" && got != d {
		return errorf(codeDigestInvalid, "expected %s, the %d bytes that came have %s", d, len(m.Content), got)
	} else {
		m.Descriptor.Digest = got
	}
	m.Descriptor.Size = int64(len(m.Content))
	result, err := s.cfg.Pushed.PutManifest(r.Context(), r.name, m)
	s.metrics.manifests.WithLabelValues(outcome(err, "taken", "refused")).Inc()
	if err != nil {
		return refusedPush(err)
	}
	s.metrics.pushed.WithLabelValues().Add(float64(result.NewBytes))
	s.tellRoots(w, r, result)
	s.logRoots(r, result)
	s.moveNames(w, r, result)
	if s.cfg.Recompress == nil {
		s.advise(r, result)
	}
	s.tellEvents(w, r, m, result, s.recompress(w, r, m, result))
	h := w.Header()
	if result.Subject != "" {
		h.Set("OCI-Subject", result.Subject.String())
	}
	if r.URL.Query().Has("tag") {
		for _, tag := range m.Tags {
			h.Add("OCI-Tag", tag)
		}
	}
	if err := created(w, "/v2/"+r.name+"/manifests/"+m.Descriptor.Digest.String(), m.Descriptor.Digest); err != nil {
		return err
	}
	s.retire(w, r, result)
	return nil
}

// retire takes away what fell out of the history of tags, after the client has its
// answer. What cannot be taken stays, and is told by the log.
func (s *Server) retire(w *response, r *request, result pushed.Result) {
	if len(result.Fallen) == 0 {
		return
	}
	_ = w.control.Flush() // fails for recorders of tests only
	gone, err := s.cfg.Pushed.Retire(context.WithoutCancel(r.Context()), result.Fallen...)
	for _, c := range gone {
		s.log.Info("gone, since it fell out of the history of its tag", "name", r.name, "cid", c.String())
	}
	if err != nil {
		s.log.Warn("an earlier root of a tag stays", "name", r.name, "error", err)
	}
}

// created answers that what was pushed is there.
func created(w *response, location string, d digest.Digest) error {
	h := w.Header()
	h.Set("Location", location)
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Content-Length", "0")
	h.Set("Cache-Control", "no-store")
	w.source = "pushed"
	w.WriteHeader(http.StatusCreated)
	return nil
}

// maxTags is how many tags one request may set.
const maxTags = 100

// pushedManifest reads what a request says of its manifest. A digest may stand beside
// a tag, as ?digest=, and tags beside a digest, as ?tag= (distribution-spec, "Pushing
// Manifests"); nothing may contradict the path.
func pushedManifest(r *request) (m pushed.Manifest, err error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return m, &apiError{code: codeManifestInvalid, status: http.StatusBadRequest, message: fmt.Sprintf("Content-Type is %q: expected that of a manifest", clip(r.Header.Get("Content-Type")))}
	}
	m.Descriptor = ocispec.Descriptor{MediaType: mediaType}
	query := r.URL.Query()
	asked := slices.Clone(query["digest"])
	m.Tags = slices.Compact(slices.Sorted(slices.Values(query["tag"])))
	switch {
	case strings.Contains(r.reference, ":"):
		asked = append(asked, r.reference)
	case len(m.Tags) > 0 && !slices.Equal(m.Tags, []string{r.reference}):
		return m, &apiError{code: codeManifestInvalid, status: http.StatusBadRequest, message: fmt.Sprintf("the path sets tag %s, and ?tag= others: expected ?tag= beside a digest in the path", clip(r.reference))}
	default:
		m.Tags = []string{r.reference}
	}
	if len(m.Tags) > maxTags {
		return m, &apiError{code: codeManifestInvalid, status: http.StatusRequestURITooLong, message: fmt.Sprintf("%d tags in one request, at most %d are taken: push by the others in another", len(m.Tags), maxTags)}
	}
	for _, tag := range m.Tags {
		if !oci.ValidTag(tag) {
			return m, &apiError{code: codeManifestInvalid, status: http.StatusBadRequest, message: fmt.Sprintf("%q is neither a tag nor a digest", clip(tag))}
		}
	}
	for _, text := range asked {
		d, err := askedDigest(text)
		if err != nil {
			return m, err
		}
		if before := m.Descriptor.Digest; before != "" && before != d {
			return m, errorf(codeDigestInvalid, "the request says that the manifest is %s, and that it is %s: expected one digest", before, d)
		}
		m.Descriptor.Digest = d
	}
	return m, nil
}

var errManifestTooLarge = &apiError{code: codeSizeInvalid, status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("a manifest has at most %d bytes", oci.MaxManifestSize)}

// manifestBody reads a manifest of at most [oci.MaxManifestSize] bytes. Of one whose
// length is told no more is held.
func (s *Server) manifestBody(w *response, r *request) ([]byte, error) {
	w.awaitBody(time.Now().Add(s.cfg.Limits.Stall))
	var data []byte
	var err error
	if r.ContentLength >= 0 {
		data = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, data)
	} else {
		data, err = io.ReadAll(io.LimitReader(r.Body, oci.MaxManifestSize+1))
	}
	if err != nil {
		w.broken = true
		return nil, errorf(codeSizeInvalid, "the manifest has not come whole: %w", err)
	}
	if len(data) > oci.MaxManifestSize {
		return nil, errManifestTooLarge
	}
	return data, nil
}

// tellRoots tells who pushed what the tags are called now, as far as there is room
// (distribution-spec, "Warnings"): signing the base of many images makes as many roots.
func (s *Server) tellRoots(w *response, r *request, result pushed.Result) {
	room := 4096 // bytes of all warnings
	h := w.Header()
	for _, root := range result.Roots {
		name := s.pullName(r.Request, r.name, root)
		warning := "299 - " + strconv.Quote(r.name+":"+root.Tag+" is "+name)
		if room -= len(warning); room < 0 {
			return
		}
		h.Add("Image2ipfs-Name", name)
		h.Add("Warning", warning)
	}
}

// logRoots tells the log.
func (s *Server) logRoots(r *request, result pushed.Result) {
	for _, root := range result.Roots {
		s.log.Info("pushed", "name", r.name+":"+root.Tag, "pull", s.pullName(r.Request, r.name, root), "cid", root.CID.String(), "digest", root.Digest.String(), "bytes", root.Size)
	}
	if len(result.Roots) == 0 {
		s.log.Debug("pushed", "name", r.name)
	}
}
