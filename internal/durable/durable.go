// Package durable makes changes of directories last.
package durable

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// SyncDir returns when all names that were made, changed or removed in a
// directory are on disk.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" { // directories cannot be flushed there, NTFS journals them
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// WriteFile puts data under path at one stroke, in place of what was there, readable by
// the owner alone, and returns when that is on disk.
func WriteFile(path string, data []byte) error { return Write(path, data, nil) }

// Write is WriteFile that calls prepare, if it is not nil, with the file before anybody
// sees it under its name.
func Write(path string, data []byte, prepare func(*os.File) error) error {
	return put(path, data, prepare, os.Rename)
}

// WriteNew is Write that leaves what is there.
func WriteNew(path string, data []byte, prepare func(*os.File) error) error {
	return put(path, data, prepare, func(from, to string) error {
		if err := os.Link(from, to); err != nil && !errors.Is(err, os.ErrExist) { // a rename would replace what another process made
			return err
		}
		return os.Remove(from)
	})
}

func put(path string, data []byte, prepare func(*os.File) error, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	if prepare != nil {
		err = prepare(f)
	}
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = place(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(path))
}
