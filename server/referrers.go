package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// listReferrers serves /v2/<name>/referrers/<digest> (distribution-spec,
// "Listing Referrers") with what the layout holds. The digest itself need not
// be there.
func (s *Server) listReferrers(w *response, r *request) error {
	if err := checkDigest(r.reference); err != nil {
		return err
	}
	l, err := s.roots.open(r.Context(), r.root)
	if err != nil {
		return err
	}
	table, err := s.referrers.of(r.Context(), l)
	if err != nil {
		return absent(codeUnknown, err)
	}
	found := table[digest.Digest(r.reference)]
	query := r.URL.Query()
	if want := query.Get("artifactType"); want != "" {
		found = slices.DeleteFunc(slices.Clone(found), func(d ocispec.Descriptor) bool { return d.ArtifactType != want })
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	if last := query.Get("last"); last != "" {
		i := slices.IndexFunc(found, func(d ocispec.Descriptor) bool { return d.Digest.String() > last })
		if i < 0 {
			i = len(found)
		}
		found = found[i:]
	}
	if n := fitting(found); n < len(found) {
		found = found[:n]
		linkNext(w.Header(), r.URL, found[n-1].Digest.String())
	}
	return serveJSON(w, r, ocispec.MediaTypeImageIndex, oci.NewIndex(append([]ocispec.Descriptor{}, found...)))
}

// fitting is how many of the descriptors fit into one answer, at least one.
func fitting(found []ocispec.Descriptor) int {
	room := int64(oci.MaxManifestSize) - 256
	for i, desc := range found {
		if room -= weight(desc); room < 0 && i > 0 {
			return i
		}
	}
	return len(found)
}

// weight is at least the length of desc in JSON. A character can become six.
func weight(desc ocispec.Descriptor) int64 {
	n := len(desc.MediaType) + len(desc.ArtifactType)
	for k, v := range desc.Annotations {
		n += len(k) + len(v) + 2
	}
	return int64(6*n) + 512
}

// Limits of what is read to find the referrers in a layout.
const (
	maxReferrerBytes = 128 << 20 // of manifests
	maxReferrerTable = 8 << 20   // of descriptors, as they are kept in memory
)

// referrers knows what refers to what. That takes reading every manifest of a
// layout, so it is done when first asked for and kept.
type referrers struct {
	manifests *manifests
	kept      *lru[cid.Cid, referrerTable]
	reading   *flights[cid.Cid, referrerTable]
}

// referrerTable has the referrers of each subject in the order of digests.
type referrerTable map[digest.Digest][]ocispec.Descriptor

func newReferrers(life *lifetime, m *manifests, limits Limits) *referrers {
	return &referrers{
		manifests: m,
		kept:      newLRU[cid.Cid, referrerTable](limits.Manifests),
		reading:   newFlights[cid.Cid, referrerTable](life, limits.Open),
	}
}

func (s *referrers) of(ctx context.Context, l *layout) (referrerTable, error) {
	if table, ok := s.kept.get(l.Root); ok {
		return table, nil
	}
	return s.reading.join(l.Root, func(ctx context.Context) (referrerTable, error) {
		table, cost, err := s.read(ctx, l)
		if err == nil {
			s.kept.put(l.Root, table, cost)
		}
		return table, err
	}).wait(ctx)
}

func (s *referrers) read(ctx context.Context, l *layout) (table referrerTable, cost int64, err error) {
	if l.missing != nil {
		return nil, 0, l.missing
	}
	table, cost = referrerTable{}, 512
	bytes := 0
	for _, desc := range l.manifests {
		data, err := s.manifests.load(ctx, l, desc.Digest)
		var known *apiError
		if errors.Is(err, ipfs.ErrNoEntry) || errors.As(err, &known) && known.code == codeManifestUnknown {
			continue // of a sparse index
		}
		if isAbsent(err) { // the layout has it, and nobody else at the moment
			err = fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
		}
		if err != nil {
			return nil, 0, err
		}
		if subject, found, ok := oci.Referrer(desc, data); ok {
			table[subject] = append(table[subject], found)
			cost += weight(found)
		}
		if bytes += len(data); bytes > maxReferrerBytes || cost > maxReferrerTable {
			return nil, 0, fmt.Errorf("%w: too much to list referrers: more than %d bytes of manifests or %d of descriptors", ipfs.ErrIntegrity, maxReferrerBytes, maxReferrerTable)
		}
	}
	for subject := range maps.Keys(table) {
		slices.SortFunc(table[subject], func(a, b ocispec.Descriptor) int {
			if a.Digest < b.Digest {
				return -1
			}
			return 1
		})
	}
	return table, cost, nil
}
