// Package trust says who has to have signed what is pulled and served: a [Policy] is a
// list of public keys, and a [Verdict] tells of a published layout what of it is signed by
// one of them. What is read of a layout is right by its digests; whether somebody who is
// trusted stands behind it is decided here, offline.
//
// Signatures are those of cosign, found by its tags (sha256-<hex>.sig) and by subject: of
// versions 1 and 2, a payload in a layer with the signature beside it, and Sigstore
// bundles, as version 3 writes them. Certificates, time stamps and transparency logs play
// no part: a key that is given is trusted, whenever it signed.
package trust

import (
	"context"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/registry"
)

// Policy requires a signature by any one of some keys. It is safe for concurrent use.
type Policy struct{ keys []*Key }

// New makes a policy. The error matches [ErrKey] when there is no key, or too many.
func New(keys ...*Key) (*Policy, error) {
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("%w: %d are given, expected 1 to %d", ErrKey, len(keys), maxKeys)
	}
	return &Policy{keys}, nil
}

// String names the keys for humans.
func (p *Policy) String() string {
	names := make([]string, len(p.keys))
	for i, k := range p.keys {
		names[i] = k.String()
	}
	return strings.Join(names, ", ")
}

// Layout is what a policy asks about, such as a *layout.Layout.
type Layout interface {
	// Manifest and Blob are those of [registry.Reader].
	Manifest(ctx context.Context, d digest.Digest) (registry.Manifest, error)
	Blob(ctx context.Context, d digest.Digest) (registry.Blob, error)
	// Claims lists what says that it signs something. The order is the same each time.
	Claims(ctx context.Context) ([]registry.Claim, error)
}

// Signature is one that a key of the policy made.
type Signature struct {
	Image    digest.Digest // manifest or index that is signed
	Manifest digest.Digest // that holds the signature
	Format   string        // one of those that are named Format…
	Key      *Key
}
