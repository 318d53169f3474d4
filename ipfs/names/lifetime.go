package names

import (
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// lifetimeField is a field of the protobuf of a record in a file, beside those of the
// specification, which others pass over: the lifetime of the name's records in seconds. A
// record itself tells its end, and not for how long it was signed.
const lifetimeField protowire.Number = 1729

// ExportRecord is [Store.LastRecord] for [Store.Import] on another machine.
func (s *Store) ExportRecord(k Key) ([]byte, error) {
	raw, err := s.LastRecord(k)
	if err != nil {
		return nil, err
	}
	l, err := s.load(k.Name)
	if err != nil || l.Lifetime <= 0 {
		return raw, err
	}
	raw = protowire.AppendTag(slices.Clone(raw), lifetimeField, protowire.VarintType)
	return protowire.AppendVarint(raw, uint64(l.Lifetime/time.Second)), nil
}

// withoutLifetime parts what [Store.ExportRecord] has made; lifetime is 0 when none is told.
func withoutLifetime(exported []byte) (raw []byte, lifetime time.Duration) {
	for rest := exported; len(rest) > 0; {
		field, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return exported, 0 // no record
		}
		size := protowire.ConsumeFieldValue(field, kind, rest[n:])
		if size < 0 {
			return exported, 0
		}
		if field == lifetimeField && kind == protowire.VarintType {
			if seconds, _ := protowire.ConsumeVarint(rest[n:]); seconds <= uint64(maxLifetime/time.Second) {
				lifetime = time.Duration(seconds) * time.Second
			}
		} else {
			raw = append(raw, rest[:n+size]...)
		}
		rest = rest[n+size:]
	}
	return raw, lifetime
}

// maxLifetime is what a file may tell.
const maxLifetime = 100 * 365 * 24 * time.Hour

// roundUp gives the next multiple of a unit; 0 for what is not above 0.
func roundUp(d, unit time.Duration) time.Duration {
	whole := max(d, 0).Truncate(unit)
	if whole < d {
		whole += unit
	}
	return whole
}
