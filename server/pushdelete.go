package server

import (
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// deleteManifest serves DELETE /v2/<name>/manifests/<reference> (distribution-spec,
// "Deleting tags" and "Deleting Manifests"). A tag goes alone, a digest with its tags
// and with what only it needs.
func (s *Server) deleteManifest(w *response, r *request) error {
	if !strings.Contains(r.reference, ":") {
		if !oci.ValidTag(r.reference) {
			return errorf(codeManifestUnknown, "%q is neither a tag nor a digest", clip(r.reference))
		}
		result, err := s.cfg.Pushed.DeleteTag(r.Context(), r.name, r.reference)
		if err != nil {
			return absent(codeManifestUnknown, err)
		}
		s.log.Info("deleted", "name", r.name+":"+r.reference)
		return s.deleted(w, r, result)
	}
	if err := checkDigest(r.reference); err != nil {
		return err
	}
	result, err := s.cfg.Pushed.DeleteManifest(r.Context(), r.name, digest.Digest(r.reference))
	if err != nil {
		return refusedDeletion(codeManifestUnknown, err)
	}
	s.log.Info("deleted", "name", r.name, "digest", r.reference)
	return s.deleted(w, r, result)
}

// deleteBlob serves DELETE /v2/<name>/blobs/<digest> (distribution-spec, "Deleting
// Blobs"). One that a manifest of the repository needs stays.
func (s *Server) deleteBlob(w *response, r *request) error {
	if err := checkDigest(r.reference); err != nil {
		return err
	}
	if err := s.cfg.Pushed.DeleteBlob(r.Context(), r.name, digest.Digest(r.reference)); err != nil {
		return refusedDeletion(codeBlobUnknown, err)
	}
	return s.deleted(w, r, pushed.Result{})
}

// refusedDeletion gives errors about what is to be deleted their codes; unknown is that
// of what is not there.
func refusedDeletion(unknown errorCode, err error) error {
	if isAbsent(err) {
		return absent(unknown, err)
	}
	return refusedPush(err)
}

// deleted answers that something is gone. Images that it referred to have other roots
// from now on, which the log tells.
func (s *Server) deleted(w *response, r *request, result pushed.Result) error {
	s.logRoots(r, result)
	w.Header().Set("Content-Length", "0")
	w.Header().Set("Cache-Control", "no-store")
	w.source = "pushed"
	w.WriteHeader(http.StatusAccepted)
	s.retire(w, r, result)
	return nil
}
