package names

import (
	"errors"
	"testing"
	"time"
)

// A name is published on another machine for as long as it was on the first.
func TestImportKeepsTTLAndLifetime(t *testing.T) {
	from := newStore(t)
	k := created(t, from)
	if _, err := move(t, publisher(t, from), k, value(0), Move{Lifetime: 24 * time.Hour, TTL: 5 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	key, err := k.Export(FormatProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	exported, err := from.ExportRecord(k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(k.Name, exported); err != nil {
		t.Errorf("the file is a record to others: %v", err)
	}
	plain, err := from.LastRecord(k)
	if err != nil {
		t.Fatal(err)
	}
	for what, last := range map[string][]byte{"exported": exported, "a record alone": plain} {
		s := newStore(t)
		if _, err := s.Import("app", key, last); err != nil {
			t.Fatal(err)
		}
		l, err := s.load(k.Name)
		if err != nil || l.TTL != 5*time.Minute || l.Lifetime != 24*time.Hour || l.isHalfOver() || string(l.Record) != string(plain) {
			t.Errorf("%s: TTL %s, lifetime %s, half over %t, %v", what, l.TTL, l.Lifetime, l.isHalfOver(), err)
		}
		r, err := move(t, publisher(t, s), k, value(1), Move{})
		if err != nil || r.Sequence != 2 || r.TTL != 5*time.Minute || time.Until(r.Until) > 24*time.Hour {
			t.Errorf("%s, moved: %+v, %v", what, r, err)
		}
	}
	for _, bad := range []string{"x", "\x88\x6c", "\x88\x6c\xff"} {
		if _, err := newStore(t).Import("app", key, []byte(bad)); !errors.Is(err, ErrForged) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
