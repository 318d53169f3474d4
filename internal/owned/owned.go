// Package owned makes files and directories of a store. What root makes there belongs to
// whom the store belongs to: else a server that runs as that user could no longer read it.
//
// The owner is that of the file version beside what is made, which a store has, else of
// the directory. Where root may not give something away (a volume that maps users),
// nothing is left behind, and the error matches [ErrOwner] and says whom to run as.
package owned

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/image2ipfs/image2ipfs/internal/durable"
)

// ErrOwner is matched by errors about what root made and cannot give to the store's owner.
var ErrOwner = errors.New("made as root, and not to be given to the store's owner")

// Create makes a file, open for reading and writing, that its owner alone may read. One
// that is there is an error that matches [os.ErrExist].
func Create(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := Give(f); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

// Touch makes an empty file, unless there is one.
func Touch(path string) error {
	f, err := Create(path)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// WriteFile is [durable.WriteFile] in a store.
func WriteFile(path string, data []byte) error { return durable.Write(path, data, Give) }

// Mkdir makes a directory that its owner alone may enter, unless there is one.
func Mkdir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := giveDir(path); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// MkdirAll is Mkdir of all directories that lead to path and are not there.
func MkdirAll(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := MkdirAll(parent); err != nil {
			return err
		}
	}
	return Mkdir(path)
}

// Lock is a lock whose file is made, if it has to be, as the store's owner could have
// made it.
func Lock(path string) (*flock.Flock, error) {
	if err := prepareLock(path); err != nil {
		return nil, err
	}
	return flock.New(path, flock.SetPermissions(0o600)), nil
}
