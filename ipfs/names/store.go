package names

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/internal/owned"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Store keeps keys and what was seen of names, in a directory:
//
//	keys/<alias>.key    a private key, as Kubo exports one
//	seen/<name>.json    of each name its newest record
//	lock                of who changes something
//
// Any number of processes may use it. It is safe for concurrent use.
type Store struct {
	dir string

	mu    sync.Mutex
	known map[string]loaded // by name
}

// Dir is where the names of the embedded store in a directory are.
func Dir(store string) string { return filepath.Join(store, "names") }

// NewStore gives the names in the directory dir, which is made when there is something
// to keep.
func NewStore(dir string) *Store { return &Store{dir: dir, known: map[string]loaded{}} }

// state is what is kept of a name.
type state struct {
	Record []byte    `json:"record,omitempty"` // the newest that was seen
	Got    time.Time `json:"got,omitzero"`     // when
	Since  time.Time `json:"since,omitzero"`   // when it was first seen to mean that
	Former []former  `json:"former,omitempty"` // what it meant before, the latest first
	Before []string  `json:"before,omitempty"` // CIDs of these, as earlier versions kept them

	// Of names whose key is here:
	Mine     []byte        `json:"mine,omitempty"`     // the newest that was signed here
	Lifetime time.Duration `json:"lifetime,omitempty"` // of records
	TTL      time.Duration `json:"ttl,omitempty"`
	Made     bool          `json:"made,omitempty"`    // the key was made here, so nobody else signs
	Stopped  string        `json:"stopped,omitempty"` // why it is not published again
}

// loaded is a state in memory, and of which file.
type loaded struct {
	state
	seen    Record // Record, checked
	mine    Record // Mine, checked
	changed time.Time
	size    int64
}

const stateExt = ".json"

func (s *Store) stateFile(name string) string {
	return filepath.Join(s.dir, "seen", name+stateExt)
}

// lock is for who changes something.
func (s *Store) lock() (unlock func() error, err error) {
	if err := owned.MkdirAll(s.dir); err != nil {
		return nil, err
	}
	l, err := owned.Lock(filepath.Join(s.dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := l.Lock(); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", l.Path(), err), l.Close())
	}
	return l.Close, nil
}

// load gives what is kept of a name, nothing for one that was never seen. The error
// matches [ipfs.ErrCorrupt] when the file is damaged.
func (s *Store) load(name string) (loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.stateFile(name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		delete(s.known, name)
		return loaded{}, nil
	}
	if err != nil {
		return loaded{}, err
	}
	if l, ok := s.known[name]; ok && l.changed.Equal(info.ModTime()) && l.size == info.Size() {
		return l, nil
	}
	l, err := readState(name, path)
	if err != nil {
		return l, err
	}
	l.changed, l.size = info.ModTime(), info.Size()
	s.known[name] = l
	return l, nil
}

func readState(name, path string) (l loaded, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return l, err
	}
	damaged := func(err error) error {
		return fmt.Errorf("%w: %s: %v; remove the file: the name is asked for again then", ipfs.ErrCorrupt, path, err)
	}
	if err := jsontext.Unmarshal(data, &l.state); err != nil {
		return loaded{}, damaged(err)
	}
	for raw, to := range map[*[]byte]*Record{&l.Record: &l.seen, &l.Mine: &l.mine} {
		if len(*raw) == 0 {
			continue
		}
		if *to, err = verify(name, *raw); err != nil {
			return loaded{}, damaged(err)
		}
	}
	return l, nil
}

// imported tells whether records may be signed elsewhere that were never seen here: the
// key was neither made here nor used since it came, or what was kept of its name is lost.
func (st *state) imported() bool { return !st.Made && len(st.Mine) == 0 }

// got is when the newest record was seen; zero where the clock of this machine says that it
// is not that time yet: it was ahead then.
func (st *state) got() time.Time {
	if st.Got.After(time.Now()) {
		return time.Time{}
	}
	return st.Got
}

// isMine tells whether a record of a name was signed here.
func (s *Store) isMine(name string) bool {
	l, err := s.load(name)
	return err == nil && len(l.Mine) > 0
}

// has tells whether a record was ever seen.
func (l loaded) has() bool { return len(l.Record) > 0 }

// take has a record be the newest that was seen, if it is, and remembers what the name
// meant before.
func (st *state) take(r Record) (taken bool) {
	if len(st.Record) > 0 {
		old, err := verify(r.Name, st.Record)
		if err == nil && r.compare(old) <= 0 {
			return false
		}
		if old.Value != r.Value {
			if root, _, err := target(old.Name, old.Value); err == nil && root.Defined() {
				st.Former = addFormer(st.former(), former{root.String(), st.Since, time.Now()})
			}
			st.Since, st.Before = time.Now(), nil
		}
	}
	if st.Since.IsZero() {
		st.Since = time.Now()
	}
	st.Record = r.Raw
	return true
}

// change changes what is kept of a name, durably. Nobody else does meanwhile.
func (s *Store) change(name string, fn func(*state) error) (err error) {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return s.changeLocked(name, fn)
}

// changeLocked is change for who has the lock.
func (s *Store) changeLocked(name string, fn func(*state) error) error {
	s.forget(name) // what another process wrote may have the time and size of what is known
	l, err := s.load(name)
	if err != nil {
		return err
	}
	st := l.state
	if err := fn(&st); err != nil {
		return err
	}
	data, err := json.MarshalIndent(st, "", "\t")
	if err != nil {
		return err
	}
	path := s.stateFile(name)
	if err := owned.Mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := durable.SyncDir(s.dir); err != nil {
		return err
	}
	if !l.has() {
		if err := s.makeRoom(); err != nil {
			return err
		}
	}
	if err := owned.WriteFile(path, append(data, '\n')); err != nil {
		return err
	}
	s.forget(name) // two changes may have one time
	return nil
}

// forget has a state be read anew.
func (s *Store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, name)
}

// maxSeen is of how many names of others something is kept.
const maxSeen = 4096

// makeRoom forgets the name that nothing new was heard of for longest, when there are
// very many: who asks for names must not fill the disk. Those whose keys are here stay.
func (s *Store) makeRoom() error {
	files, err := os.ReadDir(filepath.Join(s.dir, "seen"))
	if err != nil || len(files) < maxSeen {
		return err
	}
	keys, err := s.Keys()
	if err != nil {
		return err
	}
	type seen struct {
		name string
		at   time.Time
	}
	var others []seen
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), stateExt)
		info, err := f.Info()
		if !ok || err != nil || slices.ContainsFunc(keys, func(k Key) bool { return k.Name == name }) {
			continue
		}
		others = append(others, seen{name, info.ModTime()})
	}
	slices.SortFunc(others, func(a, b seen) int { return a.at.Compare(b.at) })
	for _, o := range others {
		if l, err := readState(o.name, s.stateFile(o.name)); err == nil && len(l.Mine) > 0 {
			continue // its key may be damaged, and be put in its place again
		}
		s.forget(o.name)
		return os.Remove(s.stateFile(o.name))
	}
	return nil
}

// take keeps a record that was heard at a time, if it is newer than what was seen. The
// error matches [ErrOlder] for one that is older. One that somebody else has signed with
// a key that is here ends that its name is published again.
func (s *Store) take(r Record, heard time.Time) error {
	l, err := s.load(r.Name)
	if err != nil {
		return err
	}
	if l.has() {
		switch c := r.compare(l.seen); {
		case c < 0:
			return fmt.Errorf("%w: of %s, with sequence %d; %d was seen", ErrOlder, r.Name, r.Sequence, l.seen.Sequence)
		case c == 0 && l.got().Equal(l.Got):
			return nil
		}
	}
	return s.change(r.Name, func(st *state) error {
		if !st.take(r) { // it is the same, or another process has seen a newer one meanwhile
			if st.got().IsZero() {
				st.Got = heard
			}
			return nil
		}
		st.Got = heard
		if len(st.Mine) > 0 {
			mine, err := verify(r.Name, st.Mine)
			if err == nil && !r.isOf(mine) {
				st.Stopped = fmt.Sprintf("a record with sequence %d that was not signed here was seen at %s: another machine has the key", r.Sequence, heard.UTC().Format(time.RFC3339))
			}
		}
		return nil
	})
}
