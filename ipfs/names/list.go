package names

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// Kept lists what names mean that were signed here, by name, whose keys are here or
// cannot be read: what is kept for a name is not given up because its key is damaged.
func (s *Store) Kept() (map[string]cid.Cid, error) {
	owned, err := s.Owned()
	if err != nil {
		return nil, err
	}
	kept := map[string]cid.Cid{}
	for _, o := range owned {
		if o.Root.Defined() {
			kept[o.Name] = o.Root
		}
	}
	damaged, err := s.Damaged()
	if err != nil || len(damaged) == 0 {
		return kept, err
	}
	files, err := os.ReadDir(filepath.Join(s.dir, "seen"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), stateExt)
		if _, known := kept[name]; !ok || known {
			continue
		}
		l, err := s.load(name)
		if err != nil || len(l.Mine) == 0 { // what is damaged, too, tells nothing
			continue
		}
		if root, _, err := target(name, l.seen.Value); err == nil && root.Defined() {
			kept[name] = root
		}
	}
	return kept, nil
}

// Meant gives what [Store.Kept] lists by its roots: a name by each
// ([cid.Cid.KeyString]).
func (s *Store) Meant() (map[string]string, error) {
	kept, err := s.Kept()
	if err != nil {
		return nil, err
	}
	meant := map[string]string{}
	for name, root := range kept {
		meant[root.KeyString()] = name
	}
	return meant, nil
}

// LastRecord gives the newest record of a key's name that is known here. The error
// matches [ErrUnknown] when it was never published.
func (s *Store) LastRecord(k Key) ([]byte, error) {
	l, err := s.load(k.Name)
	if err == nil && !l.has() {
		err = fmt.Errorf("%w: %s was never published, so there is no record of it", ErrUnknown, k.Name)
	}
	return l.Record, err
}
