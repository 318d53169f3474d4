package names

import (
	"errors"
	"time"

	"github.com/ipfs/go-cid"
)

// Owned is what a name means whose key is here.
type Owned struct {
	Key
	Root     cid.Cid   // undefined while it means nothing
	Value    string    // a path; "" while it means nothing
	Sequence uint64    // of the newest record that was seen
	Until    time.Time // when that ends
	TTL      time.Duration
	Record   []byte // the newest; nil for none
	Stopped  string // why it is not published again; "" where it is, or nothing was signed
}

// Owned lists the names whose keys are here, by what the keys are called.
func (s *Store) Owned() ([]Owned, error) {
	keys, err := s.Keys()
	if err != nil {
		return nil, err
	}
	var all []Owned
	for _, k := range keys {
		l, err := s.load(k.Name)
		if err != nil {
			return nil, err
		}
		o := Owned{Key: k, Value: l.seen.Value, Sequence: l.seen.Sequence, Until: l.seen.Until, TTL: l.seen.TTL, Record: l.Record, Stopped: l.Stopped}
		if o.Value != "" {
			root, _, err := target(k.Name, o.Value)
			if err != nil && !errors.Is(err, ErrNoRoot) {
				return nil, err
			}
			o.Root = root
		}
		if o.Stopped == "" && l.imported() {
			o.Stopped = "the key was imported, or what was kept of its name is lost, and nothing was signed here since"
		}
		all = append(all, o)
	}
	return all, nil
}
