package registry

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// Claim is a manifest that says that it belongs to another, as signatures, attestations
// and SBOMs do. Nothing of it has been checked.
type Claim struct {
	Descriptor ocispec.Descriptor // with the type of the artifact, where that is known
	Subject    digest.Digest      // what its subject says; "" where a tag says it
	Tag        oci.ReferrerTag    // of cosign's; empty where a subject says it
}

// IsOf tells whether the claim is about d.
func (c Claim) IsOf(d digest.Digest) bool {
	if c.Subject != "" {
		return c.Subject == d
	}
	return c.Tag.IsOf(d)
}

// About is the tag by which what belongs to the subject would be found (distribution-spec,
// "Referrers Tag Schema"), so that claims of both kinds about one subject have the same.
func (c Claim) About() string {
	if c.Subject != "" {
		return oci.ReferrerTagOf(c.Subject, "")
	}
	return c.Tag.Algorithm.String() + "-" + c.Tag.Hex
}
