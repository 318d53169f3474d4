//go:build unix

package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// sameOwner gives f the owner and group of an existing file. A new file's group may be
// that of its directory.
func sameOwner(f *os.File, like fs.FileInfo) error {
	want, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	for try := range 2 {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if has, ok := info.Sys().(*syscall.Stat_t); ok && has.Uid == want.Uid && has.Gid == want.Gid {
			return nil
		}
		if try > 0 {
			break // a file system that takes it and forgets it
		}
		if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
			return err
		}
	}
	return fmt.Errorf("owner %d:%d: %w", want.Uid, want.Gid, errors.ErrUnsupported)
}

// severalNames tells whether a file has hard links.
func severalNames(info fs.FileInfo) bool {
	if info == nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}

// userOf is the number of the user whose a file is, or a process by its directory in
// /proc; -1 when that is not told.
func userOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}
