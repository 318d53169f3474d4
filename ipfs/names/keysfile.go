package names

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/internal/output"
)

// keysFormat and keysVersion are what a file of keys says of itself.
const (
	keysFormat  = "image2ipfs keys"
	keysVersion = 1
)

// savedKeys are all keys of a store in a file.
type savedKeys struct {
	Format  string     `json:"format"`
	Version int        `json:"version"`
	Keys    []savedKey `json:"keys"`
}

type savedKey struct {
	Alias  string `json:"alias"`
	Name   string `json:"name"`
	Key    []byte `json:"key"`              // as [FormatProtobuf]
	Record []byte `json:"record,omitempty"` // the last that was seen of the name
}

// SaveKeys writes all keys, each with the last record of its name, into a file that its
// owner alone may read, and tells how many they are. It takes the place of another such
// file, or of an empty one, alone. What is there and no file, such as a named pipe, is
// written to as it is, until ctx ends. Errors match [ErrKey] for one that is damaged,
// [ErrKeysFile] for a file that is something else, or are those of the file.
func (s *Store) SaveKeys(ctx context.Context, path string) (int, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		if _, err := ReadKeys(ctx, path); err != nil {
			return 0, fmt.Errorf("what is there stays as it is, choose another file: %w", err)
		}
	}
	all, damaged, err := s.readKeys()
	if err = errors.Join(append(damaged, err)...); err != nil {
		return 0, err
	}
	saved := savedKeys{Format: keysFormat, Version: keysVersion, Keys: []savedKey{}}
	for _, k := range all {
		data, err := k.Export(FormatProtobuf)
		if err != nil {
			return 0, err
		}
		l, err := s.load(k.Name)
		if err != nil {
			return 0, err
		}
		saved.Keys = append(saved.Keys, savedKey{k.Alias, k.Name, data, l.Record})
	}
	text, err := json.Marshal(saved)
	if err != nil {
		return 0, err
	}
	is, err := output.Special(ctx, path, func(w io.Writer) error { _, err := w.Write(text); return err })
	if !is {
		err = durable.WriteFile(output.Real(path), text)
	}
	return len(all), err
}

// ErrKeysFile is matched by errors about a file that holds no keys.
var ErrKeysFile = errors.New("no file of keys")

// maxKeysFile is how large a file of keys may be, in bytes: more than ten thousand take.
const maxKeysFile = 64 << 20

// ReadKeys reads a file that [Store.SaveKeys] wrote, until ctx ends. Errors match
// [ErrKeysFile] for another one, or are those of the file.
func ReadKeys(ctx context.Context, path string) (*SavedKeys, error) {
	text, err := input.ReadFile(ctx, path, maxKeysFile)
	if errors.Is(err, input.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w: expected one as image2ipfs backup --keys writes it", ErrKeysFile, err)
	}
	if err != nil {
		return nil, err
	}
	var saved savedKeys
	if err := jsontext.UnmarshalSecret(text, &saved); err != nil {
		return nil, fmt.Errorf("%w: %s: expected one as image2ipfs backup --keys writes it: %w", ErrKeysFile, path, err)
	}
	if saved.Format != keysFormat || saved.Version != keysVersion {
		return nil, fmt.Errorf("%w: %s: expected one of version %d, as image2ipfs backup --keys writes", ErrKeysFile, path, keysVersion)
	}
	return &SavedKeys{saved.Keys}, nil
}

// SavedKeys are the keys of a file.
type SavedKeys struct{ keys []savedKey }

// LoadKeys imports keys as [Store.Import] does, and leaves those that are here already. It
// tells how many are new, and what those are called that stay away, since another key is
// called so here; errors are those of Import. The records in the file were seen when it was
// written: the names may have moved since, so none moves before others have been asked.
func (s *Store) LoadKeys(saved *SavedKeys) (imported int, left []string, err error) {
	here, err := s.Keys()
	if err != nil {
		return 0, nil, err
	}
	known := map[string]bool{}
	for _, k := range here {
		known[k.Name] = true
	}
	for _, k := range saved.keys {
		if known[k.Name] {
			continue
		}
		switch _, err := s.importKey(k.Alias, k.Key, k.Record, false); {
		case err == nil:
			imported++
		case errors.Is(err, ErrKeyExists):
			left = append(left, k.Alias)
		default:
			return imported, left, fmt.Errorf("%s: %w", k.Alias, err)
		}
	}
	return imported, left, nil
}
