package names

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ipfs/boxo/ipns"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/internal/owned"
)

// Key moves a name.
type Key struct {
	Alias string // how it is called in this store
	Name  string // the IPNS name, base36
	priv  crypto.PrivKey
}

// alias matches how keys may be called: also a file name, on all systems.
var alias = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckAlias refuses what can be no name of a key. The error matches [ErrKey].
func CheckAlias(s string) error {
	if !alias.MatchString(s) {
		return fmt.Errorf("%w: %q: a key is called by at most 64 letters, digits and . _ -, such as app", ErrKey, s)
	}
	if s == "self" {
		return fmt.Errorf("%w: self is what IPFS calls the key of a node, which no name here is made of; choose another", ErrKey)
	}
	return nil
}

// keyExt ends the files of keys, as those that Kubo exports.
const keyExt = ".key"

func (s *Store) keyFile(alias string) string { return filepath.Join(s.dir, "keys", alias+keyExt) }

// Create makes a key (Ed25519). Errors match [ErrKey] or [ErrKeyExists].
func (s *Store) Create(alias string) (Key, error) {
	priv, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return Key{}, err
	}
	return s.keep(alias, priv, func(st *state) error {
		st.Made = true
		return nil
	})
}

// keep writes a key down, and before that how fn changes what is kept of its name: a key
// without that is one of which others may know more.
func (s *Store) keep(alias string, priv crypto.PrivKey, fn func(*state) error) (k Key, err error) {
	if err := CheckAlias(alias); err != nil {
		return k, err
	}
	data, err := crypto.MarshalPrivateKey(priv)
	if err != nil {
		return k, err
	}
	if k, err = newKey(alias, priv); err != nil {
		return k, err
	}
	unlock, err := s.lock()
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	known, err := s.Keys()
	if err != nil {
		return k, err
	}
	for _, other := range known {
		if strings.EqualFold(other.Alias, alias) || other.Name == k.Name {
			return k, fmt.Errorf("%w: %s is the name %s", ErrKeyExists, other.Alias, other.Name)
		}
	}
	if _, err := os.Lstat(s.keyFile(alias)); !errors.Is(err, fs.ErrNotExist) { // perhaps a damaged one
		return k, errors.Join(fmt.Errorf("%w: there is a file %s", ErrKeyExists, s.keyFile(alias)), err)
	}
	if err := owned.Mkdir(filepath.Dir(s.keyFile(alias))); err != nil {
		return k, err
	}
	if err := durable.SyncDir(s.dir); err != nil {
		return k, err
	}
	if err := s.changeLocked(k.Name, fn); err != nil {
		return k, err
	}
	return k, owned.WriteFile(s.keyFile(alias), data)
}

func newKey(alias string, priv crypto.PrivKey) (Key, error) {
	id, err := peer.IDFromPrivateKey(priv)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %s: %w", ErrKey, alias, err)
	}
	return Key{alias, ipns.NameFromPeer(id).String(), priv}, nil
}

// Key gives a key by what it is called here, or by its name. The error matches
// [ErrNoKey].
func (s *Store) Key(alias string) (Key, error) {
	if CheckAlias(alias) == nil {
		k, err := s.readKey(alias)
		if !errors.Is(err, fs.ErrNotExist) {
			return k, err
		}
	}
	all, err := s.Keys()
	if err != nil {
		return Key{}, err
	}
	var called []string
	for _, k := range all {
		if k.Name == alias {
			return k, nil
		}
		called = append(called, k.Alias)
	}
	if len(all) == 0 {
		return Key{}, fmt.Errorf("%w: %q; there is none here: image2ipfs name create %s", ErrNoKey, alias, alias)
	}
	return Key{}, fmt.Errorf("%w: %q; there are %s", ErrNoKey, alias, strings.Join(called, ", "))
}

func (s *Store) readKey(alias string) (Key, error) {
	data, err := os.ReadFile(s.keyFile(alias))
	if err != nil {
		return Key{}, err
	}
	priv, err := crypto.UnmarshalPrivateKey(data)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %s is damaged: %w; put a copy of the key in its place, or remove the file", ErrKey, s.keyFile(alias), err)
	}
	return newKey(alias, priv)
}

// checkHeld gives an error that matches [ErrNoKey] when a key was taken away since it was
// read, or another is called as it was.
func (s *Store) checkHeld(k Key) error {
	now, err := s.readKey(k.Alias)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s, the key of %s, was taken away", ErrNoKey, k.Alias, k.Name)
	case err == nil && now.Name != k.Name:
		return fmt.Errorf("%w: %s was the key of %s, and is now that of %s", ErrNoKey, k.Alias, k.Name, now.Name)
	}
	return err
}

// Keys lists all keys by what they are called, less those that cannot be read, see
// [Store.Damaged].
func (s *Store) Keys() ([]Key, error) {
	all, _, err := s.readKeys()
	return all, err
}

// Damaged tells of keys that cannot be read, each by an error that matches [ErrKey] or is
// that of the file: they harm no others, and move nothing.
func (s *Store) Damaged() ([]error, error) {
	_, damaged, err := s.readKeys()
	return damaged, err
}

func (s *Store) readKeys() (all []Key, damaged []error, err error) {
	files, err := os.ReadDir(filepath.Join(s.dir, "keys"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), keyExt)
		if !ok || CheckAlias(name) != nil || !f.Type().IsRegular() {
			continue
		}
		switch k, err := s.readKey(name); {
		case errors.Is(err, fs.ErrNotExist): // taken away a moment ago
		case err != nil:
			damaged = append(damaged, err)
		default:
			all = append(all, k)
		}
	}
	return all, damaged, err
}

// RemoveKey takes a key away for good: nobody without a copy of it moves its name again.
// The error matches [ErrNoKey].
func (s *Store) RemoveKey(alias string) (k Key, err error) {
	unlock, err := s.lock()
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if k, err = s.Key(alias); err != nil {
		return k, err
	}
	if err := os.Remove(s.keyFile(k.Alias)); err != nil {
		return k, err
	}
	return k, durable.SyncDir(filepath.Join(s.dir, "keys"))
}
