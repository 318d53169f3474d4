package oci

import (
	"regexp"
	"slices"

	"github.com/opencontainers/go-digest"
)

// ReferrerTag is what a tag says by which clients look for what refers to a manifest:
// "sha256-<hex>" (distribution-spec, "Referrers Tag Schema"), and the same with
// cosign's ".sig", ".att" or ".sbom" behind it.
type ReferrerTag struct {
	Algorithm digest.Algorithm
	Hex       string // of the subject's digest, its first 64 characters: all of them in SHA-256
	Suffix    string // one of [ReferrerSuffixes]
}

// Suffixes of such tags.
const (
	SuffixSignature   = ".sig"
	SuffixAttestation = ".att"
	SuffixSBOM        = ".sbom"
)

// ReferrerSuffixes are all of them, that of the distribution spec first.
var ReferrerSuffixes = []string{"", SuffixSignature, SuffixAttestation, SuffixSBOM}

const referrerHex = 64 // characters of a digest in such a tag

var referrerTag = regexp.MustCompile(`^(?:(sha256|sha512)-([0-9a-f]{64})|(sha512)-([0-9a-f]{64})[0-9a-f]{64})(|\.[a-z]+)$`)

// ParseReferrerTag reads such a tag, also one in which SHA-512 was not cut; ok is false
// for any other.
func ParseReferrerTag(tag string) (t ReferrerTag, ok bool) {
	parts := referrerTag.FindStringSubmatch(tag)
	if parts == nil || !slices.Contains(ReferrerSuffixes, parts[5]) {
		return ReferrerTag{}, false
	}
	return ReferrerTag{digest.Algorithm(parts[1] + parts[3]), parts[2] + parts[4], parts[5]}, true
}

// ReferrerTagOf is the tag of what refers to a subject; empty for a digest that is none.
func ReferrerTagOf(subject digest.Digest, suffix string) string {
	if subject.Validate() != nil {
		return ""
	}
	return ReferrerTag{subject.Algorithm(), subject.Encoded(), suffix}.String()
}

// String is the tag, with as much of the digest as such tags have.
func (t ReferrerTag) String() string {
	return t.Algorithm.String() + "-" + t.Hex[:min(len(t.Hex), referrerHex)] + t.Suffix
}

// IsOf tells whether the tag is one of what refers to d.
func (t ReferrerTag) IsOf(d digest.Digest) bool {
	return d.Validate() == nil && ReferrerTagOf(d, t.Suffix) == t.String()
}

// IsReferrerTag tells whether a tag is a [ReferrerTag]: no image is its own signature.
func IsReferrerTag(tag string) bool {
	_, ok := ParseReferrerTag(tag)
	return ok
}
