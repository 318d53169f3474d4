package server

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// listReferrers serves /v2/<name>/referrers/<digest> (distribution-spec,
// "Listing Referrers") with what the layout holds. The digest itself need not
// be there.
func (s *Server) listReferrers(w *response, r *request) error {
	if err := checkDigest(r.reference); err != nil {
		return err
	}
	r.cacheList(w.Header())
	query := r.URL.Query()
	wanted := slices.DeleteFunc(query["artifactType"], func(t string) bool { return t == "" })
	ask := s.referrersOfRoot
	if r.local != nil {
		ask = s.referrersPushed
	}
	found, more, err := ask(r, digest.Digest(r.reference), query.Get("last"), wanted)
	if err != nil {
		return absent(codeUnknown, err)
	}
	if len(found) == 0 && r.older {
		return errorf(codeManifestUnknown, "nothing refers to %s in what the name means now", r.reference)
	}
	if len(wanted) > 0 {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	if n := fitting(found); n < len(found) {
		found = found[:n]
		more = found[n-1].Digest
	}
	if more != "" {
		linkNext(w.Header(), r.URL, more.String())
	}
	return serveJSON(w, r.Request, ocispec.MediaTypeImageIndex, oci.NewIndex(append([]ocispec.Descriptor{}, found...)))
}

// referrersOfRoot lists what refers to a digest in a root, behind last. It gives all of
// them; more is "".
func (s *Server) referrersOfRoot(r *request, d digest.Digest, last string, types []string) (found []ocispec.Descriptor, more digest.Digest, err error) {
	l, err := s.openNamed(r)
	if err != nil {
		return nil, "", err
	}
	if found, err = s.referrers(r, l, d, types); err == nil {
		found, err = s.onlySigned(r, l, found)
	}
	if err == nil && last != "" {
		found = slices.DeleteFunc(slices.Clone(found), func(d ocispec.Descriptor) bool { return d.Digest.String() <= last })
	}
	return found, "", err
}

// fitting is how many of the descriptors fit into one answer, at least one.
func fitting(found []ocispec.Descriptor) int {
	room := int64(oci.MaxManifestSize) - 256
	for i, desc := range found {
		if room -= oci.Weight(desc); room < 0 && i > 0 {
			return i
		}
	}
	return len(found)
}

// referrers asks l. The first question reads every manifest of an image, which
// goes on for those who come back when one who asked goes away.
func (s *Server) referrers(r *request, l reader, d digest.Digest, types []string) ([]ocispec.Descriptor, error) {
	q := rootQuestion{r.root, mayFetch(r.Context())}
	_, err := s.listing.join(r.Context(), q, func(ctx context.Context) (struct{}, error) {
		defer s.roots.recount(r.root, l)
		_, err := l.Referrers(withRight(ctx, q.right), d)
		return struct{}{}, err
	}).wait(r.Context())
	if err != nil {
		return nil, err
	}
	return l.Referrers(r.Context(), d, types...)
}
