//go:build unix

package doctor

import "golang.org/x/sys/unix"

// freeSpace is the number of bytes that may still be written below path.
func freeSpace(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
