package server

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
)

// Cache-Control of what is served.
const (
	cacheForever = "public, max-age=31536000, immutable"
	// cacheTag: under a CID a tag can't change either. But how a name selects
	// an image is the server's rule, not the CID's, so answers by tag do not
	// outlive an upgrade of the server by long.
	cacheTag = "public, max-age=300"
	// cacheMoving is for what a local name means, or one that moves: it may be another
	// thing in a moment.
	cacheMoving = "no-cache"
)

// smallManifest is the largest whose bytes are not counted while it is sent.
const smallManifest = 64 << 10

// manifest serves /v2/<name>/manifests/<reference> (distribution-spec,
// "Pulling manifests"). It serves the stored type whatever Accept says: another
// type would be another digest, and clients state what they accept in too many
// ways for a refusal to be right.
func (s *Server) manifest(w *response, r *request) error {
	l, err := s.openNamed(r)
	if err != nil {
		return err
	}
	d, cache := digest.Digest(r.reference), cacheForever
	if !strings.Contains(r.reference, ":") {
		if d, err = s.resolve(r, l); err != nil {
			return err
		}
		cache = cacheTag
	} else if err := checkDigest(r.reference); err != nil {
		return err
	}
	if (r.local != nil || r.moving != "") && cache == cacheTag {
		cache = cacheMoving
		s.nameRoot(w, r)
	}
	m, err := s.readManifest(r, l, d)
	if err == nil {
		err = s.signed(r, l, d, false)
	}
	if err != nil {
		return err
	}
	s.noteSigned(r)
	if r.local != nil && cache == cacheForever {
		s.noteHolders(r, d)
	}
	h := w.Header()
	h.Set("Content-Type", m.Descriptor.MediaType)
	h.Set("Cache-Control", cache)
	setDigest(h, d)
	w.source = "manifest"
	if n := int64(len(m.Content)); n > smallManifest && r.Method != http.MethodHead && r.local == nil {
		if err := s.streams.hold(r.Context(), n); err != nil {
			return err
		}
	}
	return serveContent(w, r.Request, bytes.NewReader(m.Content))
}

// nameRoot tells the root of a tag that has one, in the answer to that.
func (s *Server) nameRoot(w *response, r *request) {
	if r.moving != "" {
		name := ref.Name{Host: s.registryHost(r.Request), Root: r.root, Repository: r.repository, Tag: r.reference}
		w.Header().Set("Image2ipfs-Name", name.String())
		return
	}
	root, err := s.cfg.Pushed.Root(r.Context(), r.name, r.reference)
	if err == nil {
		s.noteUse(r.Request, root.Root)
		root.Host = s.registryHost(r.Request)
		w.Header().Set("Image2ipfs-Name", root.String())
	}
}

// readManifest reads a manifest of what a request's name is looked up in.
func (s *Server) readManifest(r *request, l reader, d digest.Digest) (registry.Manifest, error) {
	if r.local != nil { // at hand, and perhaps gone tomorrow
		m, err := s.readPushed(r, d)
		return m, absent(codeManifestUnknown, err)
	}
	s.redirects.prepare(r.Request, r.root)
	return s.manifests.read(r.Context(), r.root, l, d)
}

// resolve finds the digest that a tag means.
func (s *Server) resolve(r *request, l reader) (digest.Digest, error) {
	if !oci.ValidTag(r.reference) {
		return "", errorf(codeManifestUnknown, "%q is neither a tag nor a digest", r.reference)
	}
	defer s.roots.recount(r.root, l)
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Limits.Open)
	defer cancel()
	desc, err := l.Resolve(ctx, ref.Name{Root: r.root, Moving: r.moving, Repository: r.repository, Tag: r.reference})
	return desc.Digest, absent(codeManifestUnknown, err)
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
	roots   *roots
	kept    *budget.Cache[manifestKey, registry.Manifest]
	reading *flights[manifestQuestion, registry.Manifest]
}

type manifestKey struct {
	root cid.Cid // a manifest is served under roots that have it only
	d    digest.Digest
}

// manifestQuestion is a manifest that is read for those for whom all sources are
// asked, or for others.
type manifestQuestion struct {
	manifestKey
	right bool
}

func newManifests(life *lifetime, roots *roots, limits Limits) *manifests {
	return &manifests{
		roots:   roots,
		kept:    budget.NewCache[manifestKey, registry.Manifest](limits.Manifests, 1, roots.memory),
		reading: newFlights[manifestQuestion, registry.Manifest](life, limits.Open),
	}
}

// read gives a manifest of what is under root. Errors have the code
// MANIFEST_UNKNOWN when there is no such manifest.
func (m *manifests) read(ctx context.Context, root cid.Cid, l reader, d digest.Digest) (registry.Manifest, error) {
	key := manifestKey{root, d}
	if found, ok := m.kept.Get(key); ok {
		return found, nil
	}
	right := mayFetch(ctx)
	found, err := m.reading.join(ctx, manifestQuestion{key, right}, func(ctx context.Context) (registry.Manifest, error) {
		defer m.roots.recount(root, l)
		found, err := l.Manifest(withRight(ctx, right), d)
		if err == nil {
			m.kept.Put(key, found, int64(len(found.Content))+512)
		}
		return found, err
	}).wait(ctx)
	return found, absent(codeManifestUnknown, err)
}
