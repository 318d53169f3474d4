// Package ref converts between the spellings of a published root and parses
// the names under which images are pulled.
//
// A root is the CID of an OCI image layout on IPFS. It has these spellings:
//
//   - ciq…: lower-case unpadded base32 (RFC 4648) of the 34-byte sha2-256
//     multihash, 55 characters, the default. It carries no codec; dag-pb is meant.
//   - CIDv1 in base32 (bafybei…) or base36 (k2…).
//   - hex: the multihash in base16, 68 characters beginning with 1220.
//   - CIDv0 (Qm…), which has upper-case letters and so fits no repository path.
package ref

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
	"github.com/multiformats/go-multihash"
)

// ErrNotRoot is matched by errors about strings that spell no root.
var ErrNotRoot = errors.New("not a ciq name, CID or hex multihash")

var ciqEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const (
	ciqLen  = 55
	hexLen  = 68
	hashLen = 34
)

// ParseRoot reads any spelling of a root. The result is a CIDv1; ciq, hex and
// CIDv0 spellings give codec dag-pb. Errors match [ErrNotRoot].
func ParseRoot(s string) (cid.Cid, error) {
	var mh []byte
	var err error
	switch {
	case len(s) == ciqLen && strings.HasPrefix(s, "ciq"):
		mh, err = ciqEncoding.DecodeString(s)
	case len(s) == hexLen && strings.HasPrefix(s, "1220"):
		if s != strings.ToLower(s) {
			return cid.Undef, fmt.Errorf("%w: %q has upper-case letters", ErrNotRoot, s)
		}
		mh, err = hex.DecodeString(s)
	default:
		return parseCID(s)
	}
	if err != nil {
		return cid.Undef, fmt.Errorf("%w: %q: %v", ErrNotRoot, s, err)
	}
	if len(mh) != hashLen || mh[0] != multihash.SHA2_256 || mh[1] != hashLen-2 {
		return cid.Undef, fmt.Errorf("%w: %q is not a sha2-256 multihash", ErrNotRoot, s)
	}
	// base32 leaves room for stray bits behind the last byte: only the one
	// canonical spelling is a name.
	if len(s) == ciqLen && ciqEncoding.EncodeToString(mh) != s {
		return cid.Undef, fmt.Errorf("%w: %q is not canonical base32", ErrNotRoot, s)
	}
	return cid.NewCidV1(cid.DagProtobuf, mh), nil
}

func parseCID(s string) (cid.Cid, error) {
	c, err := cid.Decode(s)
	if err != nil {
		return cid.Undef, fmt.Errorf("%w: %q", ErrNotRoot, s)
	}
	p := c.Prefix()
	if p.MhType != multihash.SHA2_256 || p.MhLength != hashLen-2 {
		return cid.Undef, fmt.Errorf("%w: %q: hash is not sha2-256", ErrNotRoot, s)
	}
	if p.Codec != cid.DagProtobuf && p.Codec != cid.Raw {
		return cid.Undef, fmt.Errorf("%w: %q: codec is neither dag-pb nor raw", ErrNotRoot, s)
	}
	return cid.NewCidV1(p.Codec, c.Hash()), nil
}

// Spellings are all the ways to write one root. Ciq, V0 and Hex are empty for
// roots that are not dag-pb, because they cannot carry a codec.
type Spellings struct {
	Ciq    string `json:"ciq,omitempty"`
	V0     string `json:"cidv0,omitempty"`
	V1     string `json:"cidv1"`
	Base36 string `json:"base36"`
	Hex    string `json:"hex,omitempty"`
}

// Spell gives every spelling of root c, which must be a sha2-256 CID.
func Spell(c cid.Cid) Spellings {
	v1 := cid.NewCidV1(c.Prefix().Codec, c.Hash())
	base36, _ := v1.StringOfBase(multibase.Base36) // fails for unknown bases only
	s := Spellings{V1: v1.String(), Base36: base36}
	if v1.Prefix().Codec == cid.DagProtobuf {
		s.Ciq = ciqEncoding.EncodeToString(c.Hash())
		s.V0 = cid.NewCidV0(c.Hash()).String()
		s.Hex = hex.EncodeToString(c.Hash())
	}
	return s
}

// Ciq is the default spelling of root c: ciq… for dag-pb, CIDv1 otherwise.
func Ciq(c cid.Cid) string {
	if s := Spell(c); s.Ciq != "" {
		return s.Ciq
	} else {
		return s.V1
	}
}
