package packstore

import "testing"

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
