//go:build unix

package input

import (
	"os"
	"syscall"
)

// beWriter opens a named pipe for writing, if somebody reads it; stop closes it.
func beWriter(path string) (stop func()) {
	w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil { // nobody does yet
		return func() {}
	}
	return func() { _ = w.Close() }
}
