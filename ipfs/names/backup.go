package names

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Seen gives the newest record that was seen of each name, whether it is valid still or not,
// by the name. Those that are damaged are asked for again, and left out.
func (s *Store) Seen() (map[string][]byte, error) {
	files, err := os.ReadDir(filepath.Join(s.dir, "seen"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	all := map[string][]byte{}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), stateExt)
		if !ok {
			continue
		}
		if l, err := s.load(name); err == nil && l.has() {
			all[name] = l.Record
		}
	}
	return all, err
}

// Take keeps a record of a name that was seen elsewhere, so that no older one counts here;
// it may have expired. Errors match [ErrForged], [ErrTooLarge] or [ErrOlder].
func (s *Store) Take(name string, raw []byte) error {
	r, err := verify(name, raw)
	if err != nil {
		return err
	}
	return s.take(r, time.Time{})
}
