//go:build !unix

package setup

import (
	"io/fs"
	"os"
)

// sameOwner does nothing: a new file gets its directory's access rights.
func sameOwner(*os.File, fs.FileInfo) error { return nil }

// severalNames tells whether a file has hard links; here it is never written in
// place.
func severalNames(fs.FileInfo) bool { return false }

// userOf is asked on unix only.
func userOf(fs.FileInfo) int { return -1 }
