//go:build unix

// Package diskspace tells how much may still be written.
package diskspace

import "golang.org/x/sys/unix"

// Free is the number of bytes that may still be written below path. Errors are those of
// the system.
func Free(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
