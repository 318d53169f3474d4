package ref

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
	"github.com/multiformats/go-multihash"
)

// ErrNotMoving is matched by errors about strings in which no name that moves is found.
var ErrNotMoving = errors.New("neither an IPNS name (k51…) nor a domain with a DNSLink")

// ParseIPNS reads an IPNS name, the CID of a public key (libp2p-key) in any base, and
// gives it as base36, which is lower-case and so fits a repository path: "k51…" for
// Ed25519, "k2k4r8…" for RSA (IPNS specification, "IPNS Name"). Errors match
// [ErrNotMoving].
func ParseIPNS(s string) (string, error) {
	c, err := cid.Decode(s)
	if err != nil || c.Version() == 0 || c.Type() != cid.Libp2pKey {
		return "", fmt.Errorf("%w: %q", ErrNotMoving, s)
	}
	return spellIPNS(c.Hash())
}

// parsePeerID is ParseIPNS for what stands behind "/ipns/", where a key may also be
// written as a peer ID (12D3Koo…, Qm…), which is a bare multihash in base58.
func parsePeerID(s string) (string, error) {
	if name, err := ParseIPNS(s); err == nil {
		return name, nil
	}
	mh, err := multihash.FromB58String(s)
	if err != nil {
		return "", fmt.Errorf("%w: %q", ErrNotMoving, s)
	}
	return spellIPNS(mh)
}

func spellIPNS(mh multihash.Multihash) (string, error) {
	name, err := cid.NewCidV1(cid.Libp2pKey, mh).StringOfBase(multibase.Base36)
	if err != nil || len(name) > maxIPNS {
		return "", fmt.Errorf("%w: %d characters, at most %d make a name", ErrNotMoving, len(name), maxIPNS)
	}
	return name, nil
}

// maxIPNS is far more than the name of any key that is in use has: 62 and 63.
const maxIPNS = 96

// IsIPNS tells an IPNS name in base36 from a domain.
func IsIPNS(moving string) bool { return !strings.Contains(moving, ".") }

// domain matches what can be a domain with a DNSLink and a component of a repository's
// name (RFC 1035, 2.3.1; distribution-spec, "Pulling manifests").
var domain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$`)

// ParseDomain reads a domain in lower case, with a dot in it. Errors match
// [ErrNotMoving].
func ParseDomain(s string) (string, error) {
	if len(s) > 253 || !domain.MatchString(s) || strings.Trim(s, "0123456789.") == "" {
		return "", fmt.Errorf("%w: %q; a domain is written in lower case, such as images.example.com", ErrNotMoving, s)
	}
	return s, nil
}

// ParseMoving reads a pull name whose root is found by a name that moves: an IPNS name,
// or a domain of those that listed tells, which may be nil for none; behind "/ipns/" or
// "ipns://" any domain. The Root of what it gives is undefined. Errors match
// [ErrNotMoving] where there is none, or [ErrInvalidName].
func ParseMoving(s string, listed func(domain string) bool) (Name, error) {
	rest, plain := s, true
	for _, prefix := range []string{"/ipns/", "ipns://"} {
		if after, ok := strings.CutPrefix(rest, prefix); ok {
			rest, plain = after, false
		}
	}
	if plain {
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "https://"), "http://")
	}
	n, rest, err := parseEnd(s, rest)
	if err != nil {
		return Name{}, err
	}
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	if !plain {
		if n.Moving, err = parsePeerID(parts[0]); err != nil {
			n.Moving, err = ParseDomain(parts[0])
		}
		n.Repository = strings.Join(parts[1:], "/")
		return n, err
	}
	n.Moving, n.Repository, n.Host, err = SplitMoving(parts, listed)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrInvalidName, err)
	}
	return n, err
}

// SplitMoving finds the name that moves among the first components of a path: it may
// follow a host, and the "library" that dockerd puts in front of single-component names.
// An IPNS name goes before a domain. Errors match [ErrNotMoving].
func SplitMoving(parts []string, listed func(domain string) bool) (moving, repository, host string, err error) {
	i := 0
	if len(parts) > 1 && IsHost(parts[0]) {
		host, i = parts[0], 1
	}
	if len(parts) > i+1 && parts[i] == "library" {
		i++
	}
	if moving, err = ParseIPNS(parts[i]); err == nil {
		return moving, strings.Join(parts[i+1:], "/"), host, nil
	}
	for _, at := range []int{i, 0} {
		if name, failed := ParseDomain(parts[at]); failed == nil && listed != nil && listed(name) {
			if at < i {
				host = ""
			}
			return name, strings.Join(parts[at+1:], "/"), host, nil
		}
	}
	return "", "", "", err
}
