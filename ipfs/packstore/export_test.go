package packstore

import (
	"os"
	"testing"
)

// SetHook has fn called at points of what a store does, by whoever does it.
func SetHook(s *Store, fn func(point string)) { s.hook = fn }

// FailSync has the flushing of directories fail for which fail gives an error,
// until the test ends. Tests that use it do not run beside others.
func FailSync(t testing.TB, fail func(path string) error) {
	real := syncDir
	t.Cleanup(func() { syncDir = real })
	syncDir = func(path string) error {
		if err := fail(path); err != nil {
			return err
		}
		return real(path)
	}
}

// WatchSync tells of each file and directory that was flushed, when it was, until the
// test ends. Tests that use it do not run beside others.
func WatchSync(t testing.TB, file func(*os.File), dir func(path string)) {
	realFile, realDir := syncFile, syncDir
	t.Cleanup(func() { syncFile, syncDir = realFile, realDir })
	syncFile = func(f *os.File) error {
		file(f)
		return nil
	}
	syncDir = func(path string) error {
		dir(path)
		return nil
	}
}
