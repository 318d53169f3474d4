// Writing a plan: all new contents are on disk before the first file changes.

package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/image2ipfs/image2ipfs/internal/durable"
)

// Write does what was planned. Everything is written to temporary files and
// synced first, so that a disk or a permission that fails leaves all files as
// they were. A file that changed since [New] is refused with [ErrConfig]; errors
// of missing rights match [fs.ErrPermission].
func (p *Plan) Write() (err error) {
	var staged []*stage
	defer func() {
		for _, s := range staged {
			s.drop()
		}
	}()
	for _, c := range p.Changes {
		s, err := prepare(c)
		staged = append(staged, s...)
		if err != nil {
			return err
		}
	}
	for _, s := range staged {
		if err := s.commit(); err != nil {
			return err
		}
	}
	for _, c := range p.Changes {
		for _, dir := range c.prune {
			_ = os.Remove(dir) // fails when something is in it, as it should
		}
	}
	return nil
}

// stage is one step: a temporary file that takes its name, or a name that goes.
type stage struct {
	temporary string // empty for a removal
	path      string
	made      []string // directories that were made for it, innermost last
}

// prepare writes the temporary files of a change.
func prepare(c Change) (steps []*stage, err error) {
	target, err := resolved(c.Path)
	if err != nil {
		return nil, err
	}
	now, err := readable(target)
	if err != nil {
		return nil, err
	}
	if string(now) != string(c.Before) || (now == nil) != (c.Before == nil) {
		return nil, fmt.Errorf("%w: %s has changed meanwhile; run setup again", ErrConfig, c.Path)
	}
	if c.Backup != "" && !c.dropBackup {
		s, err := newStage(c.Backup, c.Before, target)
		steps = append(steps, s)
		if err != nil {
			return steps, err
		}
	}
	if c.After == nil {
		if err := removable(target); err != nil {
			return steps, err
		}
		return append(steps, &stage{path: target}), nil
	}
	s, err := newStage(target, c.After, target)
	steps = append(steps, s)
	if err == nil && c.dropBackup {
		steps = append(steps, &stage{path: c.Backup})
	}
	return steps, err
}

// newStage writes a temporary file beside path, with mode and owner of like.
func newStage(path string, data []byte, like string) (s *stage, err error) {
	s = &stage{path: path}
	dir := filepath.Dir(path)
	if s.made, err = makeDirs(dir); err != nil {
		return s, err
	}
	f, err := os.CreateTemp(dir, ".image2ipfs-*")
	if err != nil {
		return s, err
	}
	s.temporary = f.Name()
	_, err = f.Write(data)
	err = errors.Join(err, sameAccess(f, like), f.Sync(), f.Close())
	return s, err
}

// sameAccess gives f the mode and the owner of an existing file.
func sameAccess(f *os.File, like string) error {
	info, err := os.Stat(like)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Chmod(0o644)
	}
	if err != nil {
		return err
	}
	return errors.Join(sameOwner(f, info), f.Chmod(info.Mode().Perm()))
}

// makeDirs makes the directories that are missing and tells which.
func makeDirs(dir string) (made []string, err error) {
	var missing []string
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil || d == filepath.Dir(d) {
			break
		}
		missing = append([]string{d}, missing...)
	}
	for _, d := range missing {
		if err := os.Mkdir(d, 0o755); err != nil {
			return made, err
		}
		made = append(made, d)
	}
	return made, nil
}

// removable finds out in advance whether a file's directory lets it go.
func removable(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".image2ipfs-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// commit does the step.
func (s *stage) commit() error {
	var err error
	if s.temporary == "" {
		err = os.Remove(s.path)
	} else if err = os.Rename(s.temporary, s.path); err == nil {
		s.temporary, s.made = "", nil
	}
	if err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(s.path))
}

// drop takes back what was prepared and not committed.
func (s *stage) drop() {
	if s == nil || s.temporary == "" && len(s.made) == 0 {
		return
	}
	if s.temporary != "" {
		_ = os.Remove(s.temporary)
	}
	for _, made := range slices.Backward(s.made) {
		_ = os.Remove(made)
	}
}
