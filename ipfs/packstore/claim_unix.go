//go:build unix && !aix && !illumos && !solaris

package packstore

import (
	"errors"
	"os"
	"syscall"
)

// shareFile locks a file together with others, unless somebody has it alone.
func shareFile(f *os.File) (ok bool, err error) { return lockFile(f, syscall.LOCK_SH) }

// takeFile opens a file and locks it alone, unless somebody else has locked it. The error
// matches [os.ErrNotExist] when there is none.
func takeFile(path string) (release func() error, ok bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // NFS wants that for a lock
	if errors.Is(err, os.ErrPermission) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, false, err
	}
	if ok, err = lockFile(f, syscall.LOCK_EX); err != nil || !ok {
		return nil, false, errors.Join(err, f.Close())
	}
	return f.Close, true, nil
}

func lockFile(f *os.File, how int) (ok bool, err error) {
	for {
		switch err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, os.NewSyscallError("flock", err)
		}
	}
}
