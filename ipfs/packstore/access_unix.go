//go:build unix

package packstore

import (
	"os"

	"golang.org/x/sys/unix"
)

// accessible tells whether a file may be read, or something be made in a directory. Errors
// are those of the system.
func accessible(path string, write bool) error {
	mode := uint32(unix.R_OK)
	if write {
		mode = unix.W_OK | unix.X_OK
	}
	if err := unix.Access(path, mode); err != nil {
		return &os.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}
