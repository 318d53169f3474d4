// Package names makes and follows names that move: IPNS names, each of which is a
// public key whose owner signs records of what it means, and domains with a DNSLink.
//
// A [Store] keeps keys, and of each name the newest record that was ever seen: nothing
// older is taken for an answer again. A [Resolver] asks sources, none of which is
// trusted (peers, a DHT, Kubo, gateways, routing servers): each record is checked
// against its name. A [Publisher] signs records and hands them to sinks, before they
// expire again.
//
// Specifications: https://specs.ipfs.tech/ipns/ipns-record/, https://dnslink.dev.
package names

import (
	"errors"
	"time"

	"github.com/ipfs/boxo/ipns"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// kind is an error that is also one of another kind.
type kind struct {
	text string
	of   error
}

func (k kind) Error() string { return k.text }
func (k kind) Unwrap() error { return k.of }

// Errors about records. All name the name that they are about.
var (
	// ErrForged is matched by errors about a record that the owner of the name has not
	// signed, or that is none. It matches [ipfs.ErrCorrupt].
	ErrForged = error(kind{"forged record", ipfs.ErrCorrupt})
	// ErrTooLarge is matched by errors about one of more than 10 KiB (IPNS record,
	// "Record Size Limit"). It matches [ipfs.ErrCorrupt].
	ErrTooLarge = error(kind{"oversized record", ipfs.ErrCorrupt})
	// ErrOlder is matched by errors about a record that is older than one that was seen.
	ErrOlder = errors.New("older record")
	// ErrExpired is matched by errors about one whose validity has ended. It matches
	// [ipfs.ErrUnavailable]: its owner may have a newer one.
	ErrExpired = error(kind{"expired record", ipfs.ErrUnavailable})
	// ErrUnknown is matched by errors about a name of which nobody has a record, or a
	// domain without a DNSLink. It matches [ipfs.ErrNotFound].
	ErrUnknown = error(kind{"unknown name", ipfs.ErrNotFound})
	// ErrNoRoot is matched by errors about a name that means something else than a
	// root. It matches [ipfs.ErrNotFound].
	ErrNoRoot = error(kind{"no root", ipfs.ErrNotFound})
)

// Errors about keys.
var (
	// ErrKey is matched by errors about what can be no key, or no name of one.
	ErrKey = errors.New("no key")
	// ErrNoKey is matched by errors about keys that are not here. It matches
	// [ipfs.ErrNotFound].
	ErrNoKey = error(kind{"unknown key", ipfs.ErrNotFound})
	// ErrKeyExists is matched by errors about a name that another key has.
	ErrKeyExists = errors.New("there is such a key")
	// ErrOtherWriter is matched by errors about a name that somebody else with its key
	// has moved.
	ErrOtherWriter = errors.New("moved by another writer")
	// ErrUnsure is matched by errors about an imported key of whose last record nobody
	// has told, or of one whose state is lost.
	ErrUnsure = errors.New("the last record is not known")
)

// Defaults and limits of names.
const (
	// DefaultTTL is for how long a record may be taken for the newest.
	DefaultTTL = time.Minute
	// DefaultLifetime is for how long a record is valid.
	DefaultLifetime = 7 * 24 * time.Hour
	// MaxTTL is for how long an answer is believed at most, whatever its record says.
	MaxTTL = 10 * time.Minute
	// MaxSteps is how many names may lead from one to the next (DNSLink, IPNS).
	MaxSteps = 4
	// MaxRecord is how many bytes a record has at most.
	MaxRecord = ipns.MaxRecordSize
)
