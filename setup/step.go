// One file of a plan: written, and given back.

package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/image2ipfs/image2ipfs/internal/durable"
)

// step is a file that gets a content or goes away.
type step struct {
	path      string
	after     []byte  // nil for a removal
	temporary string  // holds after; empty for a removal, and once it has its name
	before    []byte  // nil when there was no file
	access    *access // that it gets; nil for that of a new file
	inPlace   bool    // it has other names, or is mounted, or nobody can give its access to another
	saved     *step   // the backup that is made of it, if one is
	done      bool
}

// stage writes the temporary file, with the access to the one that is there; where that
// cannot be given to another file, it finds out whether this one may be written.
func (s *step) stage() (err error) {
	if !s.inPlace {
		s.temporary, err = temporary(filepath.Dir(s.path), s.after, s.access)
		if !errors.Is(err, errAccess) {
			return err
		}
		s.drop()
		s.inPlace = true
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// stageBackup is stage for a file that is not there yet: where it cannot be given the
// access to what it keeps, it is its maker's alone.
func (s *step) stageBackup() (err error) {
	s.temporary, err = temporary(filepath.Dir(s.path), s.after, s.access)
	if errors.Is(err, errAccess) {
		s.drop()
		s.temporary, err = temporary(filepath.Dir(s.path), s.after, &access{})
	}
	return err
}

// temporary makes a file in a directory; like is nil for a new file's access.
func temporary(dir string, data []byte, like *access) (string, error) {
	f, err := os.CreateTemp(dir, temporaryName) // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if like == nil {
		err = errors.Join(err, f.Chmod(0o644))
	} else {
		err = errors.Join(err, like.give(f))
	}
	return f.Name(), errors.Join(err, f.Sync(), f.Close())
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
	return overwrite(s.path, data)
}

// overwrite gives a file another content so that there is never less in it than needed:
// what makes it longer is written first, for which there may be no room.
func overwrite(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := int(info.Size())
	if len(data) > size {
		_, err = f.WriteAt(data[size:], info.Size())
		if err = errors.Join(err, f.Sync()); err != nil {
			return errors.Join(err, f.Truncate(info.Size()))
		}
	}
	if _, err = f.WriteAt(data[:min(size, len(data))], 0); err == nil {
		err = f.Truncate(int64(len(data)))
	}
	return errors.Join(err, f.Sync())
}

// restore gives back what was there before a step that was done. Where that fails, the
// backup stays.
func (s *step) restore() error {
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
	err := s.giveBack()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s could not be given back: %w", s.path, err)
	if s.saved != nil {
		s.saved.done = false
		err = fmt.Errorf("%w; what it was is in %s", err, s.saved.path)
	}
	return err
}

func (s *step) giveBack() (err error) {
	s.drop()
	if !s.inPlace {
		if s.temporary, err = temporary(filepath.Dir(s.path), s.before, s.access); err != nil {
			return err
		}
	}
	return s.replace(s.before)
}

// drop removes a temporary file.
func (s *step) drop() {
	if s.temporary != "" {
		_ = os.Remove(s.temporary)
		s.temporary = ""
	}
}
