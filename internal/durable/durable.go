// Package durable makes changes of directories last.
package durable

import (
	"errors"
	"os"
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
