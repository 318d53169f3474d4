//go:build !unix

package owned

import "os"

// Give gives a file that was just made to the owner of where it lies, where root is known.
func Give(*os.File) error { return nil }

func giveDir(string) error { return nil }

func prepareLock(string) error { return nil }

// Denied says of an error about permissions what to do; "" where that is not known.
func Denied(string, error) string { return "" }
