package server

import (
	"fmt"
	"io"
	"mime"
	"net/http"
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
	release, err := borrow(r.Context(), s.memory.Reading, oci.MaxManifestSize, "too many manifests are being read")
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
	if err != nil {
		return refusedPush(err)
	}
	s.tellRoots(w, r, m, result)
	if s.cfg.Recompress == nil {
		s.advise(r, result)
	}
	s.tellEvents(w, r, m, result, s.recompress(w, r, result))
	h := w.Header()
	if result.Subject != "" {
		h.Set("OCI-Subject", result.Subject.String())
	}
	return created(w, "/v2/"+r.name+"/manifests/"+m.Descriptor.Digest.String(), m.Descriptor.Digest)
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

// pushedManifest reads what a request says of its manifest. A digest may stand beside
// a tag, as ?digest=.
func pushedManifest(r *request) (m pushed.Manifest, err error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return m, &apiError{code: codeManifestInvalid, status: http.StatusBadRequest, message: fmt.Sprintf("Content-Type is %q: expected that of a manifest", clip(r.Header.Get("Content-Type")))}
	}
	m.Descriptor = ocispec.Descriptor{MediaType: mediaType}
	asked := r.URL.Query().Get("digest")
	if strings.Contains(r.reference, ":") {
		asked = r.reference
	} else if m.Tag = r.reference; !oci.ValidTag(m.Tag) {
		return m, &apiError{code: codeManifestInvalid, status: http.StatusBadRequest, message: fmt.Sprintf("%q is neither a tag nor a digest", clip(m.Tag))}
	}
	if asked != "" {
		m.Descriptor.Digest, err = askedDigest(asked)
	}
	return m, err
}

// manifestBody reads a manifest of at most [oci.MaxManifestSize] bytes.
func (s *Server) manifestBody(w *response, r *request) ([]byte, error) {
	tooLarge := &apiError{code: codeSizeInvalid, status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("a manifest has at most %d bytes", oci.MaxManifestSize)}
	if r.ContentLength > oci.MaxManifestSize {
		return nil, tooLarge
	}
	w.awaitBody(time.Now().Add(s.cfg.Limits.Stall))
	data, err := io.ReadAll(io.LimitReader(r.Body, oci.MaxManifestSize+1))
	if err != nil {
		return nil, errorf(codeSizeInvalid, "the manifest has not come whole: %w", err)
	}
	if len(data) > oci.MaxManifestSize {
		return nil, tooLarge
	}
	return data, nil
}

// tellRoots tells who pushed, and the log, what the tags are called now.
func (s *Server) tellRoots(w *response, r *request, m pushed.Manifest, result pushed.Result) {
	const most = 20 // names in a header: signing the base of many images makes as many roots
	h := w.Header()
	for i, root := range result.Roots {
		name := s.pullName(r.Request, r.name, root)
		s.log.Info("pushed", "name", r.name+":"+root.Tag, "pull", name, "cid", root.CID.String(), "digest", m.Descriptor.Digest.String(), "bytes", root.Size)
		if i < most {
			h.Add("Image2ipfs-Name", name)
			h.Add("Warning", "299 - "+strconv.Quote(r.name+":"+root.Tag+" is "+name))
		}
	}
	if len(result.Roots) == 0 {
		s.log.Debug("pushed", "name", r.name, "digest", m.Descriptor.Digest.String())
	}
}
