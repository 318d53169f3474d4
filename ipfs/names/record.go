package names

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/image2ipfs/image2ipfs/ref"
)

// Record is a record of an IPNS name whose signature is right.
type Record struct {
	Name     string // base36
	Value    string // a path, "/ipfs/<cid>" or "/ipns/<name>"
	Sequence uint64
	Until    time.Time     // when its validity ends
	TTL      time.Duration // for which it may be taken for the newest; 0 for not said
	Raw      []byte        // as it was signed
}

// Verify reads a record and checks it against its name and the clock of this machine.
// Errors match [ErrForged], [ErrTooLarge] or [ErrExpired].
func Verify(name string, raw []byte) (Record, error) {
	r, err := verify(name, raw)
	if err == nil {
		err = r.checkValid(time.Now())
	}
	return r, err
}

// checkValid gives an error that matches [ErrExpired] when the record is not valid any
// more.
func (r Record) checkValid(now time.Time) error {
	if now.After(r.Until) {
		return fmt.Errorf("%w: that of %s with sequence %d was valid until %s, by the clock of this machine %s ago; its owner has to publish it again, from a machine that runs: image2ipfs serve",
			ErrExpired, r.Name, r.Sequence, r.Until.UTC().Format(time.RFC3339), now.Sub(r.Until).Round(time.Second))
	}
	return nil
}

// verify is Verify for a record that may have expired.
func verify(name string, raw []byte) (r Record, err error) {
	if len(raw) > MaxRecord {
		return r, fmt.Errorf("%w: of %s, %d bytes; at most %d are allowed", ErrTooLarge, name, len(raw), MaxRecord)
	}
	forged := func(err error) (Record, error) {
		return Record{}, fmt.Errorf("%w: of %s: %w", ErrForged, name, err)
	}
	n, err := ipns.NameFromString(name)
	if err != nil {
		return forged(err)
	}
	rec, err := ipns.UnmarshalRecord(raw)
	if err != nil {
		return forged(err)
	}
	if err := ipns.ValidateWithName(rec, n); err != nil && !errors.Is(err, ipns.ErrExpiredRecord) {
		return forged(err)
	}
	value, err := rec.Value()
	if err != nil {
		return forged(err)
	}
	r = Record{Name: name, Value: value.String(), Raw: raw}
	if r.Sequence, err = rec.Sequence(); err != nil {
		return forged(err)
	}
	if r.Until, err = rec.Validity(); err != nil {
		return forged(err)
	}
	if ttl, err := rec.TTL(); err == nil && ttl > 0 {
		r.TTL = ttl
	}
	return r, nil
}

// sign makes a record. Value is a path, as in [Record].
func sign(key crypto.PrivKey, name, value string, sequence uint64, until time.Time, ttl time.Duration) (Record, error) {
	p, err := path.NewPath(value)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %s: %w", ErrNoRoot, value, err)
	}
	rec, err := ipns.NewRecord(key, p, sequence, until, ttl)
	if err != nil {
		return Record{}, fmt.Errorf("signing a record of %s: %w", name, err)
	}
	raw, err := ipns.MarshalRecord(rec)
	if err != nil {
		return Record{}, fmt.Errorf("signing a record of %s: %w", name, err)
	}
	return Verify(name, raw)
}

// compare orders records of one name by age, the older first (IPNS record, "Record
// Verification"): by sequence, then by validity, then by their bytes, so that all who
// see two choose the same.
func (r Record) compare(other Record) int {
	return cmp.Or(cmp.Compare(r.Sequence, other.Sequence), r.Until.Compare(other.Until), bytes.Compare(r.Raw, other.Raw))
}

// isOf tells whether a record says nothing that one of ours does not say: it is that
// one, or the same once more.
func (r Record) isOf(ours Record) bool {
	return r.Sequence < ours.Sequence || r.Sequence == ours.Sequence && r.Value == ours.Value
}

// ttl is for how long the record is believed.
func (r Record) ttl() time.Duration {
	return min(cmp.Or(r.TTL, DefaultTTL), MaxTTL)
}

// target parts a value into the root that it is, or the name that it leads to. Errors
// match [ErrNoRoot].
func target(name, value string) (root cid.Cid, next string, err error) {
	space, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(value, "/"), "/"), "/")
	switch {
	case strings.Contains(rest, "/"):
		err = fmt.Errorf("%w: %s means %s, which is something below a root: publish the root itself", ErrNoRoot, name, value)
	case space == "ipfs":
		root, err = ref.ParseRoot(rest)
	case space == "ipns":
		var n ref.Name
		n, err = ref.ParseMoving("/ipns/"+rest, nil)
		next = n.Moving
	default:
		err = fmt.Errorf("it begins with neither /ipfs/ nor /ipns/")
	}
	if err != nil && !errors.Is(err, ErrNoRoot) {
		err = fmt.Errorf("%w: %s means %s: %v", ErrNoRoot, name, value, err) // not what a user has spelled
	}
	return root, next, err
}
