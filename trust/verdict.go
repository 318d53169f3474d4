package trust

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Verdict tells what of a layout is signed as a policy requires. It does not change, and
// is safe for concurrent use.
type Verdict struct {
	policy    *Policy
	manifests map[digest.Digest]bool        // and indices that are signed, or below what is, or signatures
	contents  map[digest.Digest]bool        // these, and what they lead to
	signed    map[digest.Digest][]Signature // images
	faults    map[string][]error            // why signatures do not count, by [registry.Claim.About]
	pending   []error                       // what could not be read
	over      error                         // why not all signatures were tried; nil when they were
}

// Check tells by nil that a manifest or index is signed, or reached from what is signed as
// one, or a signature. A config or layer is neither, whatever it holds: see
// [Verdict.CheckContent]. The error matches [ErrUntrusted], and one of the ways of being
// that; or [ipfs.ErrUnavailable] when that cannot be told at the moment.
func (v *Verdict) Check(d digest.Digest) error { return v.check(v.manifests, d) }

// CheckContent is Check for a content of any kind, which is to be read as a config, a layer
// or bytes. Nobody may take it for a manifest.
func (v *Verdict) CheckContent(d digest.Digest) error { return v.check(v.contents, d) }

// CheckAll is Check for all that a layout lists and CheckContent for its blobs: nothing in
// it is not signed. Then blob, which may be nil, is asked about each. Errors are those of
// these, and of reading the layout.
func (v *Verdict) CheckAll(ctx context.Context, l *ipfs.Layout, blob func(d digest.Digest, c cid.Cid) error) error {
	for _, desc := range l.Index.Manifests {
		if err := v.Check(desc.Digest); err != nil {
			return err
		}
	}
	return l.Blobs(ctx, func(d digest.Digest, c cid.Cid) error {
		if err := v.CheckContent(d); err != nil || blob == nil {
			return err
		}
		return blob(d, c)
	})
}

// admit has a manifest or index count.
func (v *Verdict) admit(d digest.Digest) { v.manifests[d], v.contents[d] = true, true }

func (v *Verdict) check(counts map[digest.Digest]bool, d digest.Digest) error {
	if counts[d] {
		return nil
	}
	if len(v.pending) > 0 {
		return fmt.Errorf("%w: whether %s is signed by %s cannot be told now: %w", ipfs.ErrUnavailable, d, v.policy, errors.Join(v.pending[:min(len(v.pending), 3)]...))
	}
	const advice = "sign it with such a key (cosign sign --key KEY NAME@DIGEST) and publish it with its signature, or give the key of who signed it"
	if d.Validate() == nil {
		if faults := v.faults[oci.ReferrerTagOf(d, "")]; len(faults) > 0 {
			worst := slices.MinFunc(faults, func(a, b error) int { return cmp.Compare(severity(a), severity(b)) })
			return fmt.Errorf("%w: %s: %w; %s", ErrUntrusted, d, worst, advice)
		}
	}
	if v.over != nil {
		return fmt.Errorf("%s is not found to be signed by %s: %w; publish it in a layout with fewer signatures, or give fewer keys", d, v.policy, v.over)
	}
	if len(v.signed) == 0 {
		return fmt.Errorf("%w: %s is %w: nothing in its layout has a signature by %s; %s", ErrUntrusted, d, ErrUnsigned, v.policy, advice)
	}
	return fmt.Errorf("%w: %s is %w, nor is it below what is signed by %s, which is %s; %s", ErrUntrusted, d, ErrUnsigned, v.policy, v.some(), advice)
}

// severity orders what is wrong with several signatures of one image by what its owner
// wants to hear first.
func severity(err error) int {
	for i, kind := range []error{errMany, ErrOtherImage, ErrSignature, ErrOtherKey, ErrAttestationOnly} {
		if errors.Is(err, kind) {
			return i
		}
	}
	return 99
}

// some names a few of what is signed.
func (v *Verdict) some() string {
	const most = 3
	text := ""
	for i, d := range slices.Sorted(maps.Keys(v.signed)) {
		if i == most {
			return text + " and more"
		}
		if i > 0 {
			text += ", "
		}
		text += d.String()
	}
	return text
}

// Any tells by nil that something in the layout is signed. Errors are those of
// [Verdict.Check].
func (v *Verdict) Any() error {
	switch {
	case len(v.signed) > 0:
		return nil
	case len(v.pending) > 0:
		return fmt.Errorf("%w: whether anything is signed by %s cannot be told now: %w", ipfs.ErrUnavailable, v.policy, v.pending[0])
	}
	if v.over != nil {
		return fmt.Errorf("nothing is found to be signed by %s: %w", v.policy, v.over)
	}
	for _, about := range slices.Sorted(maps.Keys(v.faults)) {
		return fmt.Errorf("%w: nothing is signed by %s: %w", ErrUntrusted, v.policy, v.faults[about][0])
	}
	return fmt.Errorf("%w: %w by %s", ErrUntrusted, ErrUnsigned, v.policy)
}

// Signatures are those of an image, a manifest or index that is signed itself.
func (v *Verdict) Signatures(image digest.Digest) []Signature { return slices.Clone(v.signed[image]) }

// Final tells that nothing will change what [Verdict.Check] says: all could be read.
func (v *Verdict) Final() bool { return len(v.pending) == 0 }

// Cost is roughly how many bytes of memory the verdict takes.
func (v *Verdict) Cost() int64 {
	return 512 + 192*int64(len(v.manifests)+len(v.contents)) + 512*int64(len(v.signed)+len(v.faults))
}
