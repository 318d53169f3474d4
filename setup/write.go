// Writing a plan: all new contents are on disk before the first file changes,
// and a failure later on gives back the files that did change.

package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Write does what was planned, while no other setup works in the same directories.
// Everything is written to temporary files and
// synced first; then names change, and the engine's own program, where it is
// here, reads the result. Whatever fails, all files are as they were. A file
// that changed since [New], or that the engine then reads in another way than
// was planned, is refused with [ErrConfig]; errors of missing rights match
// [fs.ErrPermission].
func (p *Plan) Write(ctx context.Context) (err error) {
	var steps []*step
	defer func() { err = explained(err) }()
	release, err := p.claim(ctx)
	if err != nil {
		return err
	}
	defer release()
	defer func() {
		for _, s := range slices.Backward(steps) {
			if err != nil {
				err = errors.Join(err, s.restore())
			}
			s.drop()
		}
	}()
	if steps, err = p.steps(); err != nil {
		return err
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

// steps prepares all changes. Beside an error are those that have to be dropped.
func (p *Plan) steps() (steps []*step, err error) {
	for _, c := range slices.Concat(p.changes(true), p.changes(false)) {
		prepared, err := p.prepare(c)
		steps = append(steps, prepared...)
		if err != nil {
			return steps, err
		}
	}
	return steps, nil
}

// changes are those that are written early, or all others.
func (p *Plan) changes(early bool) []Change {
	return slices.DeleteFunc(slices.Clone(p.Changes), func(c Change) bool { return c.early != early })
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
	like, err := accessOf(target)
	if err != nil {
		return nil, err
	}
	s := &step{path: target, after: c.After, before: c.Before, access: like, inPlace: like.severalNames()}
	if c.Backup != "" && !c.dropBackup {
		if s.saved, err = p.backup(c, like); s.saved != nil {
			steps = append(steps, s.saved)
		}
		if err != nil {
			return steps, err
		}
	}
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
	return append(steps, &step{path: backup, before: saved, access: like}), err
}

// backup prepares the file that keeps what was there; nil when one does already.
func (p *Plan) backup(c Change, like *access) (*step, error) {
	path, err := p.place.real(c.Backup)
	if err != nil {
		return nil, err
	}
	old, err := readable(path)
	if err != nil {
		return nil, err
	}
	if old != nil && string(old) != string(c.Before) {
		return nil, fmt.Errorf("%w: %s was made meanwhile; run setup again", ErrConfig, c.Backup)
	}
	if old != nil {
		return nil, nil
	}
	s := &step{path: path, after: c.Before, access: like}
	return s, s.stageBackup()
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
	f, err := os.CreateTemp(filepath.Dir(path), temporaryName)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
