// Who may read and write a file: what replaces it is for nobody else.

package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// access is the mode, the owner and what else stays with a file whatever is in it. The
// zero value is that of a file for its maker alone.
type access struct {
	info     fs.FileInfo
	extended map[string]string // extended attributes, ACLs and labels among them
}

// errAccess is about a file that cannot be given the access to another.
var errAccess = errors.New("its access cannot be given to another file")

// accessOf is that of a file; nil when there is none.
func accessOf(path string) (*access, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	extended, err := extendedOf(path)
	if err != nil {
		return nil, fmt.Errorf("extended attributes of %s: %w", path, err)
	}
	return &access{info: info, extended: extended}, nil
}

// severalNames tells whether the file has hard links.
func (a *access) severalNames() bool { return a != nil && severalNames(a.info) }

// give gives a file this access. Errors match errAccess.
func (a *access) give(f *os.File) error {
	if a.info == nil {
		return nil
	}
	err := sameOwner(f, a.info)
	if err == nil {
		err = f.Chmod(a.info.Mode().Perm())
	}
	if err == nil {
		err = sameExtended(f, a.extended)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", a.info.Name(), errAccess, err)
	}
	return nil
}
