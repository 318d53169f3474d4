//go:build !unix || aix || illumos || solaris

package packstore

import "os"

// shareFile has nothing to do: Windows removes no file that is open.
func shareFile(*os.File) (ok bool, err error) { return true, nil }

// takeFile tells whether there is a file; who removes it finds out whether it is in use.
func takeFile(path string) (release func() error, ok bool, err error) {
	_, err = os.Stat(path)
	return func() error { return nil }, err == nil, err
}
