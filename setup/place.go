// The file system as the engine sees it: links are followed as the engine
// follows them, and never out of [Options.Root].

package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// place is a directory that an engine sees as /; the zero value is this machine.
type place struct{ root string }

// errOutside is about paths that are not below --root.
var errOutside = errors.New("not below the directory given as root")

// real gives the file or directory that a path leads to, which may not be there
// yet. It is refused with [ErrConfig] when a link on the way leads to nothing
// whose directory is there: what it is meant to lead to is not mounted.
func (p place) real(path string) (string, error) {
	root := p.root
	if root == "" {
		root = filepath.VolumeName(path) + string(filepath.Separator)
	}
	rest, ok := below(root, path)
	if !ok {
		return "", fmt.Errorf("%w: %s is %w (%s)", ErrInvalid, path, errOutside, root)
	}
	real, err := securejoin.SecureJoin(root, rest)
	if err != nil {
		return "", err
	}
	return real, p.dangling(root, rest)
}

// dangling refuses a link on the way that leads into a directory that is not
// there.
func (p place) dangling(root, rest string) error {
	for at := rest; at != "." && at != string(filepath.Separator) && at != ""; at = filepath.Dir(at) {
		real, err := securejoin.SecureJoin(root, at)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(real); err == nil {
			return nil // it is there, and so is all above it
		}
		parent, err := securejoin.SecureJoin(root, filepath.Dir(at))
		if err != nil {
			return err
		}
		link := filepath.Join(parent, filepath.Base(at))
		target, err := os.Readlink(link)
		if err != nil {
			continue // no link, or not there
		}
		if _, err := os.Stat(filepath.Dir(real)); err != nil {
			return fmt.Errorf("%w: %s is a link to %s, and there is no %s: mount or make what it leads to, or remove the link", ErrConfig, link, target, filepath.Dir(real))
		}
	}
	return nil
}

// below gives a path relative to a directory that it is in.
func below(dir, path string) (string, bool) {
	rest, err := filepath.Rel(dir, path)
	return rest, err == nil && rest != ".." && !strings.HasPrefix(rest, ".."+string(filepath.Separator))
}

// read reads a file of at most maxConfig bytes, nil when there is none.
func (p place) read(path string) ([]byte, error) {
	real, err := p.real(path)
	if err != nil {
		return nil, err
	}
	return readable(real)
}

// list gives the names in a directory, none when it is not there.
func (p place) list(dir string) (names []string, err error) {
	real, err := p.real(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(real)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// exists tells whether something is at a path.
func (p place) exists(path string) bool {
	real, err := p.real(path)
	if err != nil {
		return false
	}
	_, err = os.Stat(real)
	return err == nil
}

// isDir tells whether a path leads to a directory.
func (p place) isDir(path string) bool {
	real, err := p.real(path)
	if err != nil {
		return false
	}
	info, err := os.Stat(real)
	return err == nil && info.IsDir()
}

// glob gives the files that match a pattern, whose directory has no wildcards, in
// their order.
func (p place) glob(pattern string) (found []string, err error) {
	names, err := p.list(filepath.Dir(pattern))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if ok, err := filepath.Match(filepath.Base(pattern), name); err != nil {
			return nil, fmt.Errorf("%w: pattern %q: %w", ErrConfig, pattern, err)
		} else if ok {
			found = append(found, filepath.Join(filepath.Dir(pattern), name))
		}
	}
	return found, nil
}

// missing counts the directories that have to be made for a file.
func (p place) missing(path string) (n int, err error) {
	real, err := p.real(path)
	if err != nil {
		return 0, err
	}
	for dir := filepath.Dir(real); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		n++
	}
	return n, nil
}

// parents gives the n directories above a file, the innermost first.
func (p place) parents(path string, n int) (dirs []string, err error) {
	real, err := p.real(path)
	for dir := filepath.Dir(real); err == nil && len(dirs) < n; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
	}
	return dirs, err
}
