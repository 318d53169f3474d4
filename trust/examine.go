package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry"
)

// Limits of what is read to find out who has signed a layout.
const (
	maxStatements = 2000     // layers that hold signatures
	maxSignatures = 64       // of one of them
	maxChecks     = 8192     // of those of one image, each by each key: about a second of a processor
	maxAllChecks  = 16_384   // of all
	maxRead       = 64 << 20 // bytes of all
	maxFaults     = 16       // that are remembered about one image
)

// Examine finds out what of a layout is signed: reads all that says that it signs
// something, and follows what is signed as a pull would, from indices to their manifests
// and their contents. What is signed of the images that are asked for is found out first:
// when the layout has more signatures than are tried, what the others sign counts for
// nothing, and the verdict says so. What cannot be read at the moment makes the verdict one
// for now, see [Verdict.Final]. Errors match [oci.ErrLimit] for what is below what is
// signed, or are those of listing claims.
func (p *Policy) Examine(ctx context.Context, l Layout, asked ...digest.Digest) (*Verdict, error) {
	claims, err := l.Claims(ctx)
	if err != nil {
		return nil, err
	}
	isAsked := func(c registry.Claim) int {
		if slices.ContainsFunc(asked, c.IsOf) {
			return 0
		}
		return 1
	}
	if len(asked) > 0 {
		claims = slices.Clone(claims)
		slices.SortStableFunc(claims, func(a, b registry.Claim) int { return isAsked(a) - isAsked(b) })
	}
	e := &examination{
		ctx: ctx, l: l, policy: p, keys: slices.Clone(p.keys), over: map[string]bool{},
		v: &Verdict{
			policy: p, manifests: map[digest.Digest]bool{}, contents: map[digest.Digest]bool{},
			signed: map[digest.Digest][]Signature{}, faults: map[string][]error{},
		},
	}
	if err := e.all(claims); err != nil {
		return nil, err
	}
	for _, d := range slices.Sorted(maps.Keys(e.v.signed)) {
		if err := e.follow(ocispec.Descriptor{Digest: d}, 0); err != nil {
			return nil, err
		}
	}
	return e.v, nil
}

// errMany ends the judging of one image, or of all.
var errMany = fmt.Errorf("%w: %w", ErrUntrusted, oci.ErrLimit)

// all judges claims, those about one image after one another. When there are more than are
// judged of one, the others are all the same.
func (e *examination) all(claims []registry.Claim) error {
	about := ""
	for _, c := range claims {
		if at := c.About(); at != about {
			about, e.checks = at, 0
		}
		if e.over[about] {
			continue
		}
		err := e.claim(c)
		switch {
		case !errors.Is(err, errMany):
			if err != nil {
				return err
			}
		case e.checks > maxChecks:
			e.over[about] = true
			e.v.faults[about] = append([]error{err}, e.v.faults[about]...)
		default:
			e.v.faults[about] = append([]error{err}, e.v.faults[about]...)
			e.v.over = err
			return nil
		}
	}
	return nil
}

type examination struct {
	ctx        context.Context
	l          Layout
	policy     *Policy
	keys       []*Key // of the policy, the one first that signed what was seen last
	v          *Verdict
	statements int
	checks     int             // of signatures of the image that is being judged
	allChecks  int             // of those of all
	over       map[string]bool // images that have too many, by [registry.Claim.About]
	bytes      int64
	limit      oci.WalkLimit
	followed   map[digest.Digest]bool
}

// claim notes what a manifest signs, or why it signs nothing. What is no signature and
// says so by its layers is passed over.
func (e *examination) claim(c registry.Claim) error {
	m, err := e.l.Manifest(e.ctx, c.Descriptor.Digest)
	if err != nil {
		return e.unread(c.Descriptor.Digest, err)
	}
	layers, config, ok, err := e.signatureLayers(m)
	if err != nil || !ok {
		return err
	}
	all := true // of its layers were made by one of the keys
	for _, layer := range layers {
		if e.statements++; e.statements > maxStatements {
			return fmt.Errorf("%w: more than %d signatures in one layout", errMany, maxStatements)
		}
		made, err := e.layer(c, layer)
		if err != nil {
			return err
		}
		if made {
			e.v.contents[layer.Digest] = true
		}
		all = all && made
	}
	if !all {
		return nil // somebody else has put it together
	}
	fine, err := e.isConfig(config)
	if err != nil || !fine {
		return err
	}
	e.v.admit(c.Descriptor.Digest)
	e.v.contents[config.Digest] = true
	return nil
}

// isConfig tells whether what a manifest of signatures has for its config is one. Whoever
// puts signatures together chooses it, so it is nothing that could be taken for a manifest.
func (e *examination) isConfig(config ocispec.Descriptor) (bool, error) {
	if config.Digest == ocispec.DescriptorEmptyJSON.Digest {
		return true, nil
	}
	data, err := e.read(config)
	if err != nil {
		return false, e.unread(config.Digest, err)
	}
	release, err := ipfs.HoldDecoding(e.ctx, data)
	if errors.Is(err, oci.ErrLimit) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer release()
	return data != nil && !oci.LooksLikeManifest(data) && json.Valid(data), nil
}

// signatureLayers are the layers of a manifest that holds signatures and nothing else.
func (e *examination) signatureLayers(m registry.Manifest) (layers []ocispec.Descriptor, config ocispec.Descriptor, ok bool, err error) {
	release, err := ipfs.HoldDecoding(e.ctx, m.Content)
	if err != nil {
		return nil, config, false, err
	}
	defer release()
	var parsed ocispec.Manifest
	if !oci.IsManifest(m.Descriptor.MediaType) || json.Unmarshal(m.Content, &parsed) != nil {
		return nil, config, false, nil
	}
	ok = len(parsed.Layers) > 0 && !oci.LooksLikeIndex(m.Content) && !slices.ContainsFunc(parsed.Layers, func(l ocispec.Descriptor) bool { return !holdsStatement(l) })
	return parsed.Layers, parsed.Config, ok, nil
}

// layer reads and judges a layer; made tells that one of the keys stands behind it, that it
// is about what it stands beside, and that nobody can take it for a manifest. What cannot
// be had is noted.
func (e *examination) layer(c registry.Claim, layer ocispec.Descriptor) (made bool, err error) {
	data, err := e.read(layer)
	if err != nil {
		return false, e.unread(layer.Digest, err)
	}
	if data == nil {
		e.note(c, ErrSignature, "%s: its layer %s has more than %d bytes", c.Descriptor.Digest, layer.Digest, oci.MaxManifestSize)
		return false, nil
	}
	release, err := ipfs.HoldDecoding(e.ctx, data)
	if errors.Is(err, oci.ErrLimit) {
		e.note(c, ErrSignature, "%s: its layer %s: %w", c.Descriptor.Digest, layer.Digest, err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	plain := !oci.LooksLikeManifest(data) // what a bundle says besides what is signed is anybody's
	s, err := parseStatement(layer, data)
	release()
	if err == nil && len(s.signatures) > maxSignatures {
		err = fmt.Errorf("it has %d signatures, at most %d are tried", len(s.signatures), maxSignatures)
	}
	if err != nil {
		e.note(c, ErrSignature, "%s: %w", c.Descriptor.Digest, err)
		return false, nil
	}
	made, err = e.judge(c, &s)
	return made && plain, err
}

// note notes why something that claims to sign an image does not.
func (e *examination) note(c registry.Claim, kind error, format string, args ...any) {
	at := c.About()
	if len(e.v.faults[at]) < maxFaults {
		e.v.faults[at] = append(e.v.faults[at], fmt.Errorf("%w: "+format, append([]any{kind}, args...)...))
	}
}

// read reads a small content and checks its digest; nil for one that is not small.
func (e *examination) read(desc ocispec.Descriptor) (data []byte, err error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%w: digest %q: %v", oci.ErrCorrupt, desc.Digest, err)
	}
	b, err := e.l.Blob(e.ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if b.Size() > oci.MaxManifestSize {
		return nil, nil
	}
	if e.bytes += b.Size(); e.bytes > maxRead {
		return nil, fmt.Errorf("%w: signature %s: more than %d bytes with those before", errMany, desc.Digest, maxRead)
	}
	desc.Size = b.Size()
	release, err := ipfs.HoldReading(e.ctx, 2*desc.Size) // its buffer grows
	if err != nil {
		return nil, err
	}
	defer release()
	return io.ReadAll(oci.VerifyReader(io.NopCloser(b), desc))
}

// unread notes what cannot be read at the moment: whatever it would have signed may be
// signed all the same. What is not in the layout, is broken, or is no manifest stays so;
// nothing else does, such as a process that has no memory left for it.
func (e *examination) unread(d digest.Digest, err error) error {
	if e.ctx.Err() != nil || errors.Is(err, oci.ErrLimit) {
		return err
	}
	settled := errors.Is(err, ipfs.ErrNoEntry) || errors.Is(err, oci.ErrCorrupt) || errors.Is(err, oci.ErrNotFound) && e.isThere(d)
	if errors.Is(err, ipfs.ErrUnavailable) || !settled {
		e.v.pending = append(e.v.pending, fmt.Errorf("%s: %w", d, err))
	}
	return nil
}

// isThere tells whether the beginning of a content can be read: then it is not the one
// that it was taken for.
func (e *examination) isThere(d digest.Digest) bool {
	b, err := e.l.Blob(e.ctx, d)
	if err != nil {
		return errors.Is(err, ipfs.ErrNoEntry)
	}
	defer b.Close()
	_, err = b.Read(make([]byte, 1))
	return err == nil || err == io.EOF
}

// judge decides what one statement of a claim is worth; made tells that one of the keys
// stands behind it and it is about what it stands beside.
func (e *examination) judge(c registry.Claim, s *statement) (made bool, err error) {
	where := c.Descriptor.Digest
	var content []byte
	if s.message == nil {
		m, err := e.l.Manifest(e.ctx, c.Subject) // no tag leads to what is signed by its bytes
		if err != nil {
			return false, e.unread(c.Subject, err)
		}
		if len(s.subjects) > 0 && s.subjects[0] != c.Subject {
			e.note(c, ErrOtherImage, "the signature %s says that it is that of %s", where, s.subjects[0])
			return false, nil
		}
		content, s.subjects = m.Content, []digest.Digest{c.Subject}
	}
	key, err := s.signer(e.keys, content, e.check)
	if err != nil {
		return false, err
	}
	if i := slices.Index(e.keys, key); i > 0 { // whoever signs one signs the next
		e.keys = slices.Insert(slices.Delete(e.keys, i, i+1), 0, key)
	}
	if key == nil {
		if s.signs {
			e.note(c, ErrOtherKey, "the signature %s is by none of %s", where, e.policy)
		}
		return false, nil
	}
	i := slices.IndexFunc(s.subjects, c.IsOf)
	switch {
	case i < 0 && s.signs:
		e.note(c, ErrOtherImage, "the signature %s is that of %s, by %s", where, s.subjects[0], key)
		return false, nil
	case i < 0:
		return false, nil
	case !s.signs:
		e.note(c, ErrAttestationOnly, "%s attests something, and is no signature", where)
		return true, nil
	}
	image := s.subjects[i]
	e.v.signed[image] = append(e.v.signed[image], Signature{Image: image, Manifest: where, Format: s.format, Key: key})
	return true, nil
}

// check is asked before each signature is checked by a key.
func (e *examination) check() error {
	e.allChecks++
	switch e.checks++; {
	case e.checks > maxChecks:
		return fmt.Errorf("%w: it has more signatures than are tried: %d, each by each of %d keys", errMany, maxChecks, len(e.policy.keys))
	case e.allChecks > maxAllChecks:
		return fmt.Errorf("%w: its layout has more signatures than are tried: %d, each by each of %d keys", errMany, maxAllChecks, len(e.policy.keys))
	}
	return context.Cause(e.ctx)
}

// follow notes what is reached from a manifest or index that is signed. Of an index, what
// this layout lacks is not there to be served, or pulled.
func (e *examination) follow(desc ocispec.Descriptor, depth int) error {
	if e.followed[desc.Digest] {
		return nil
	}
	if e.followed == nil {
		e.followed = map[digest.Digest]bool{}
	}
	e.followed[desc.Digest] = true
	e.v.admit(desc.Digest)
	if desc.MediaType != "" && !oci.IsAnyManifest(desc.MediaType) {
		return nil
	}
	if err := e.limit.Enter(desc, depth); err != nil {
		return err
	}
	m, err := e.l.Manifest(e.ctx, desc.Digest)
	if err != nil {
		return e.unread(desc.Digest, err)
	}
	if err := e.limit.Read(desc, int64(len(m.Content))); err != nil {
		return err
	}
	release, err := ipfs.HoldDecoding(e.ctx, m.Content)
	if err != nil {
		return err
	}
	manifests, blobs, err := oci.PartsOf(m.Content)
	release()
	if err != nil {
		return nil // whoever reads it is told
	}
	for _, b := range blobs {
		e.v.contents[b.Digest] = true
	}
	for _, child := range manifests {
		if err := e.follow(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}
