// Writing a plan: all new contents are on disk before the first file changes,
// and a failure later on gives back the files that did change.

package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/image2ipfs/image2ipfs/internal/durable"
)

// Write does what was planned. Everything is written to temporary files and
// synced first; then names change, and the engine's own program, where it is
// here, reads the result. Whatever fails, all files are as they were. A file
// that changed since [New], or that the engine then reads in another way than
// was planned, is refused with [ErrConfig]; errors of missing rights match
// [fs.ErrPermission].
func (p *Plan) Write(ctx context.Context) (err error) {
	var steps []*step
	defer func() { err = explained(err) }()
	defer func() {
		for _, s := range slices.Backward(steps) {
			if err != nil {
				err = errors.Join(err, s.restore())
			}
			s.drop()
		}
	}()
	for _, c := range p.Changes {
		prepared, err := p.prepare(c)
		steps = append(steps, prepared...)
		if err != nil {
			return err
		}
	}
	for _, s := range steps {
		if err := s.commit(); err != nil {
			return err
		}
	}
	if len(p.Changes) > 0 && p.check != nil {
		if err := p.check(ctx); err != nil {
			return fmt.Errorf("%w: %w; nothing was changed", ErrConfig, err)
		}
	}
	p.prune()
	return nil
}

// explained says what to do where files cannot be written because the system makes
// them of something else, as NixOS and other images do.
func explained(err error) error {
	if errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w: what is on a read-only file system is made elsewhere; write there what the diff shows, which setup without --yes prints", ErrConfig, err)
	}
	return err
}

// prune removes the directories that setup has made and that are empty now, the
// deepest first.
func (p *Plan) prune() {
	var dirs []string
	for _, c := range p.Changes {
		dirs = append(dirs, c.prune...)
	}
	slices.SortFunc(dirs, func(a, b string) int { return len(b) - len(a) })
	for _, dir := range slices.Compact(dirs) {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() {
			_ = os.Remove(dir) // fails when something is in it, as it should
		}
	}
}

// step is a file that gets a content or goes away.
type step struct {
	path      string
	after     []byte      // nil for a removal
	temporary string      // holds after; empty for a removal, and once it has its name
	before    []byte      // nil when there was no file
	info      fs.FileInfo // whose mode and owner it gets
	inPlace   bool        // it has other names, or is mounted
	made      []string    // directories that were made for it, innermost last
	done      bool
}

// prepare writes the temporary files of a change.
func (p *Plan) prepare(c Change) (steps []*step, err error) {
	target, err := p.place.real(c.Path)
	if err != nil {
		return nil, err
	}
	now, err := readable(target)
	if err != nil {
		return nil, err
	}
	if target != c.target || string(now) != string(c.Before) || (now == nil) != (c.Before == nil) {
		return nil, fmt.Errorf("%w: %s has changed meanwhile; run setup again", ErrConfig, c.Path)
	}
	info, err := os.Stat(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if c.Backup != "" && !c.dropBackup {
		if steps, err = p.backup(c, info); err != nil {
			return steps, err
		}
	}
	s := &step{path: target, after: c.After, before: c.Before, info: info, inPlace: severalNames(info)}
	steps = append(steps, s)
	if c.After == nil {
		err = removable(target)
	} else {
		err = s.stage()
	}
	if err != nil || !c.dropBackup {
		return steps, err
	}
	backup, err := p.place.real(c.Backup)
	if err != nil {
		return steps, err
	}
	saved, err := readable(backup)
	return append(steps, &step{path: backup, before: saved, info: info}), err
}

// backup prepares the file that keeps what was there.
func (p *Plan) backup(c Change, like fs.FileInfo) ([]*step, error) {
	path, err := p.place.real(c.Backup)
	if err != nil {
		return nil, err
	}
	old, err := readable(path)
	if err != nil {
		return nil, err
	}
	s := &step{path: path, after: c.Before, before: old, info: like}
	return []*step{s}, s.stage()
}

// stage writes the temporary file, with mode and owner of the one that is there.
func (s *step) stage() (err error) {
	dir := filepath.Dir(s.path)
	if s.made, err = makeDirs(dir); err != nil {
		return err
	}
	s.temporary, err = temporary(dir, s.after, s.info)
	return err
}

// temporary makes a file in a directory; like is nil for a new file's access.
func temporary(dir string, data []byte, like fs.FileInfo) (string, error) {
	f, err := os.CreateTemp(dir, ".image2ipfs-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if like == nil {
		err = errors.Join(err, f.Chmod(0o644))
	} else {
		err = errors.Join(err, sameOwner(f, like), f.Chmod(like.Mode().Perm()))
	}
	return f.Name(), errors.Join(err, f.Sync(), f.Close())
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
func (s *step) commit() error {
	s.done = true // so that a failure in the middle is taken back, too
	if s.after == nil {
		if err := os.Remove(s.path); err != nil {
			return err
		}
		return durable.SyncDir(filepath.Dir(s.path))
	}
	return s.replace(s.after)
}

// replace gives the file a content by the temporary file. A file that is mounted
// or has other names (hard links) is written in place: it has to stay that file.
func (s *step) replace(data []byte) error {
	if !s.inPlace {
		err := os.Rename(s.temporary, s.path)
		if err == nil {
			s.temporary = ""
			return durable.SyncDir(filepath.Dir(s.path))
		}
		if !errors.Is(err, syscall.EBUSY) { // which a mount point is
			return err
		}
		s.inPlace = true
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// restore gives back what was there before a step that was done.
func (s *step) restore() (err error) {
	if !s.done {
		return nil
	}
	if s.before == nil {
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if now, err := readable(s.path); err == nil && now != nil && string(now) == string(s.before) {
		return nil
	}
	s.drop()
	if s.temporary, err = temporary(filepath.Dir(s.path), s.before, s.info); err != nil {
		return err
	}
	if err := s.replace(s.before); err != nil {
		return fmt.Errorf("%s could not be given back, see %s: %w", s.path, s.path+backupSuffix, err)
	}
	return nil
}

// drop takes back what was prepared, and directories of which nothing came.
func (s *step) drop() {
	if s.temporary != "" {
		_ = os.Remove(s.temporary)
		s.temporary = ""
	}
	for _, made := range slices.Backward(s.made) {
		_ = os.Remove(made) // fails when something is in it
	}
	s.made = nil
}
