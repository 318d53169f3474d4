package server

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/trust"
)

// signatures finds out what is signed under roots, and keeps it: a verdict that is final
// stays so, since a root is a CID.
type signatures struct {
	policy    *trust.Policy // nil when nothing has to be signed
	roots     *roots
	known     *budget.Cache[cid.Cid, verdict]
	examining *flights[rootQuestion, *trust.Verdict]
	whole     *budget.Cache[cid.Cid, struct{}] // roots of which nothing is not signed
	hashes    hashes
	kept      trust.Kept
}

// maxWholeRoots is how many roots are remembered to be signed as a whole.
const maxWholeRoots = 10_000

// verdict is one that was reached at a time.
type verdict struct {
	*trust.Verdict
	err   error     // in its place, where finding out takes more than is spent on it
	until time.Time // zero for one that is final
}

func newSignatures(s *Server) *signatures {
	return &signatures{
		policy: s.cfg.Signed, roots: s.roots, hashes: newHashes(s),
		known:     budget.NewCache[cid.Cid, verdict](s.cfg.Limits.Layouts, 1, s.memory),
		whole:     budget.NewCache[cid.Cid, struct{}](maxWholeRoots, 256, s.memory),
		examining: newFlights[rootQuestion, *trust.Verdict](s.life, s.cfg.Limits.Open),
	}
}

// of tells what is signed of what is under root, which l reads. Errors have a code.
func (g *signatures) of(ctx context.Context, root cid.Cid, l reader) (*trust.Verdict, error) {
	if v, ok := g.known.Get(root); ok && (v.until.IsZero() || time.Now().Before(v.until)) {
		return v.Verdict, v.err
	}
	q := rootQuestion{root, mayFetch(ctx)}
	v, err := g.examining.join(ctx, q, func(ctx context.Context) (*trust.Verdict, error) {
		ctx = withRight(ctx, q.right)
		if foreign, ok := l.(strangers); ok {
			ctx, l = foreign.bounded(ctx), foreign.reader
		}
		layout, ok := l.(trust.Layout)
		if !ok {
			return nil, errorf(codeDenied, "%w: %s was published by an image2ipfs before 0.2.0, which knew no signatures: publish it again (image2ipfs convert), sign it, and pull that", trust.ErrUntrusted, ref.Ciq(root))
		}
		v, err := g.policy.Examine(ctx, layout)
		if errors.Is(err, oci.ErrLimit) { // so it is whoever asks, and whenever
			err = absent(codeManifestInvalid, err)
			g.known.Put(root, verdict{err: err}, 512)
		}
		if err != nil {
			return nil, err
		}
		found := verdict{Verdict: v}
		if !v.Final() {
			found.until = time.Now().Add(failureMemory)
		}
		g.known.Put(root, found, v.Cost())
		g.roots.recount(root, l)
		return v, nil
	}).wait(ctx)
	return v, absent(codeUnknown, err)
}

// signed refuses a manifest that is neither signed nor reached from what is, or, of blobs,
// any content, where that is required; names that were pushed here are for who may push,
// and are not held to it. Errors have the code DENIED.
func (s *Server) signed(r *request, l reader, d digest.Digest, blobs bool) error {
	if s.signatures.policy == nil || r.local != nil {
		return nil
	}
	v, err := s.signatures.of(r.Context(), r.root, l)
	if err != nil {
		return err
	}
	if blobs {
		return absent(codeUnknown, v.CheckContent(d))
	}
	return absent(codeUnknown, v.Check(d))
}

// onlySigned leaves of descriptors those that are served.
func (s *Server) onlySigned(r *request, l reader, found []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if s.signatures.policy == nil || r.local != nil || len(found) == 0 {
		return found, nil
	}
	v, err := s.signatures.of(r.Context(), r.root, l)
	if err != nil {
		return nil, err
	}
	var all []ocispec.Descriptor
	for _, desc := range found {
		err := v.Check(desc.Digest)
		if errors.Is(err, ipfs.ErrUnavailable) {
			return nil, absent(codeUnknown, err)
		}
		if err == nil {
			all = append(all, desc)
		}
	}
	return all, nil
}

// anySigned refuses a root under which nothing is signed, where that is required.
func (s *Server) anySigned(ctx context.Context, root cid.Cid) error {
	if s.signatures.policy == nil {
		return nil
	}
	l, err := s.roots.open(ctx, root)
	if err != nil {
		return err
	}
	v, err := s.signatures.of(ctx, root, l)
	if err != nil {
		return err
	}
	return absent(codeUnknown, v.Any())
}

// allSigned refuses a root of which a part is neither signed nor reached from what is,
// where that is required: who gets blocks chooses among them.
func (s *Server) allSigned(ctx context.Context, root cid.Cid) error {
	if s.signatures.policy == nil {
		return nil
	}
	if _, err := s.local.Get(ctx, root); err != nil { // nobody is asked: what is not here is not served so
		return absent(codeNameUnknown, err)
	}
	if _, ok := s.signatures.whole.Get(root); ok {
		return nil
	}
	l, err := s.roots.open(ctx, root)
	if isAbsent(err) {
		return errorf(codeDenied, "%w: %s is no published image: with --require-signature blocks are served below one alone, by its root", trust.ErrUntrusted, spell(root))
	}
	if err != nil {
		return err
	}
	v, err := s.signatures.of(ctx, root, l)
	if err != nil {
		return err
	}
	if foreign, ok := l.(strangers); ok {
		l = foreign.reader
	}
	whole, ok := l.(interface{ Files() *ipfs.Layout })
	if !ok {
		return errorf(codeDenied, "%w: %s is of an image2ipfs before 0.2.0", trust.ErrUntrusted, ref.Ciq(root))
	}
	if err = s.onlyLayout(ctx, root); err == nil {
		err = s.wholeSigned(ctx, whole.Files(), v)
	}
	if err == nil {
		s.signatures.whole.Put(root, struct{}{}, 1)
	}
	if errors.Is(err, trust.ErrUntrusted) {
		return errorf(codeDenied, "not all of %s is signed, so it is served by /v2/ alone, what is signed of it: %w", ref.Ciq(root), err)
	}
	return absent(codeUnknown, err)
}

// wholeSigned refuses a layout of which a part is not signed: what index.json lists is
// pulled as an image by whoever gets it. A blob that is here has to be a file.
func (s *Server) wholeSigned(ctx context.Context, l *ipfs.Layout, v *trust.Verdict) error {
	return v.CheckAll(ctx, l, func(d digest.Digest, c cid.Cid) error {
		if c.Prefix().Codec == cid.Raw {
			return nil
		}
		first, err := ipfs.Verified(s.local).Get(ctx, c)
		if isAbsent(err) {
			return nil // not to be served, nor is it when it comes: see sameBytes
		}
		if err != nil {
			return err
		}
		return onlyFile(c, first, d)
	})
}

// serveSigned serves a request by a tag below a name that moves, of which what it means
// now is not signed as required: what it meant before stays, if that is. The client is told
// (RFC 9111, "Warning", as the distribution spec has it).
func (s *Server) serveSigned(w *response, q *request, kind string, before []cid.Cid, refused error) error {
	now := q.root
	for _, root := range s.signatures.kept.Before(q.movingKey(), before) {
		if root == now {
			continue
		}
		q.root = root
		w.Header().Set("Warning", "299 - "+strconv.Quote(q.moving+" has moved to "+ref.Ciq(now)+", which is not signed as required: "+ref.Ciq(root)+", which it meant before, stays"))
		err := s.serveRoot(w, q, kind)
		if err == nil || w.status != 0 {
			s.log.Warn("a name that moves means what is not signed: what it meant before is served", "name", q.moving, "now", ref.Ciq(now), "served", ref.Ciq(root), "error", refused)
			return err
		}
		w.Header().Del("Warning")
	}
	q.root = now
	return refused
}

// movingKey is what a request by tag below a name that moves asks for.
func (r *request) movingKey() string { return r.moving + "/" + r.repository + ":" + r.reference }

// isUntrusted tells that an answer was refused for want of a signature.
func isUntrusted(err error) bool { return errors.Is(err, trust.ErrUntrusted) }

// byDigest tells whether a request names a content, and not a tag.
func byDigest(kind, reference string) bool {
	return kind == "blobs" || kind == "referrers" || kind == "manifests" && strings.Contains(reference, ":")
}

// noteSigned remembers what a name that moves means, which is served and so is signed.
func (s *Server) noteSigned(r *request) {
	if s.signatures.policy != nil && r.moving != "" && !byDigest("manifests", r.reference) {
		s.signatures.kept.Note(r.movingKey(), r.root)
		s.signatures.kept.Note(r.moving, r.root)
	}
}
