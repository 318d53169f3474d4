package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Cache-Control of what is served.
const (
	cacheForever = "public, max-age=31536000, immutable"
	// cacheTag: under a CID a tag can't change either. But how a name selects
	// an image is the server's rule, not the CID's, so answers by tag do not
	// outlive an upgrade of the server by long.
	cacheTag = "public, max-age=300"
)

// manifest serves /v2/<name>/manifests/<reference> (distribution-spec,
// "Pulling manifests"). It serves the stored type whatever Accept says: another
// type would be another digest, and clients state what they accept in too many
// ways for a refusal to be right.
func (s *Server) manifest(w *response, r *request) error {
	l, err := s.roots.open(r.Context(), r.root)
	if err != nil {
		return err
	}
	d, cache := digest.Digest(r.reference), cacheForever
	if !strings.Contains(r.reference, ":") {
		if d, err = selectImage(l, r.repository, r.reference); err != nil {
			return err
		}
		cache = cacheTag
	} else if err := checkDigest(r.reference); err != nil {
		return err
	}
	s.redirects.prepare(r.root)
	data, mediaType, err := s.manifests.read(r.Context(), l, d)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", cache)
	setDigest(h, d)
	w.source = "manifest"
	return serveContent(w, r.Request, bytes.NewReader(data))
}

// selectImage finds the digest that a tag means.
func selectImage(l *layout, repository, tag string) (digest.Digest, error) {
	if !oci.ValidTag(tag) {
		return "", errorf(codeManifestUnknown, "%q is neither a tag nor a digest", tag)
	}
	desc, err := l.images.Select(repository, tag)
	switch {
	case errors.Is(err, oci.ErrNameUnknown):
		return "", absent(codeNameUnknown, err)
	case err != nil:
		return "", absent(codeManifestUnknown, err)
	}
	if err := desc.Digest.Validate(); err != nil {
		return "", errorf(codeUnknown, "index.json has digest %q: %w", desc.Digest, err)
	}
	return desc.Digest, nil
}

// checkDigest refuses what breaks the grammar of digests, or has an algorithm
// that can't be checked.
func checkDigest(s string) error {
	if err := digest.Digest(s).Validate(); err != nil {
		return errorf(codeDigestInvalid, "digest %q: %w", s, err)
	}
	return nil
}

func setDigest(h http.Header, d digest.Digest) {
	h.Set("Docker-Content-Digest", d.String())
	h.Set("ETag", `"`+d.String()+`"`)
}

// manifests reads manifests and keeps them.
type manifests struct {
	metadata ipfs.Getter
	kept     *lru[manifestKey, []byte]
	reading  *flights[manifestKey, []byte]
}

type manifestKey struct {
	root cid.Cid // a manifest is served under roots that have it only
	d    digest.Digest
}

func newManifests(life *lifetime, metadata ipfs.Getter, limits Limits) *manifests {
	return &manifests{
		metadata: metadata,
		kept:     newLRU[manifestKey, []byte](limits.Manifests),
		reading:  newFlights[manifestKey, []byte](life, limits.Open),
	}
}

// read gives a manifest of the layout, checked against its digest, and its
// media type. Any blob that is a manifest will do, listed in an index or not.
// Errors have the code MANIFEST_UNKNOWN when the layout has no such manifest.
func (m *manifests) read(ctx context.Context, l *layout, d digest.Digest) ([]byte, string, error) {
	key := manifestKey{l.Root, d}
	data, ok := m.kept.get(key)
	if !ok {
		var err error
		data, err = m.reading.join(key, func(ctx context.Context) ([]byte, error) {
			data, err := m.load(ctx, l, d)
			if err == nil {
				m.kept.put(key, data, int64(len(data))+256)
			}
			return data, err
		}).wait(ctx)
		if err != nil {
			return nil, "", absent(codeManifestUnknown, err)
		}
	}
	mediaType := l.types[d]
	if !safeType(mediaType) {
		mediaType = oci.SniffMediaType(data)
	}
	if !safeType(mediaType) {
		return nil, "", errorf(codeManifestUnknown, "blob %s is no manifest", d)
	}
	return data, mediaType, nil
}

func (m *manifests) load(ctx context.Context, l *layout, d digest.Digest) ([]byte, error) {
	if l.old != nil {
		return manifestOf(l, d)
	}
	_, listed := l.types[d]
	link, err := l.Blob(ctx, d)
	switch {
	case errors.Is(err, ipfs.ErrNoEntry) && listed:
		return nil, fmt.Errorf("an index lists %s, but this layout was published without it: %w", d, err)
	case err != nil:
		return nil, err
	case link.Size > oci.MaxManifestSize:
		return nil, errorf(codeManifestUnknown, "blob %s is no manifest: it has %d bytes, a manifest at most %d", d, link.Size, int64(oci.MaxManifestSize))
	}
	data, err := ipfs.ReadFile(ctx, m.metadata, link.CID, oci.MaxManifestSize)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d, err)
	}
	if got := d.Algorithm().FromBytes(data); got != d {
		return nil, fmt.Errorf("%w: blob %s of %s has the content of %s", ipfs.ErrIntegrity, d, l.Root, got)
	}
	return data, nil
}

// safeType tells whether a media type from a layout may be sent as it is: a
// browser must not be made to run what somebody put into an image.
func safeType(mediaType string) bool {
	rest, ok := strings.CutPrefix(mediaType, "application/")
	if !ok || rest == "" || len(rest) > 127 {
		return false
	}
	return strings.Trim(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&-^_.+") == "" &&
		!strings.HasPrefix(rest, "xhtml") && rest != "javascript"
}
