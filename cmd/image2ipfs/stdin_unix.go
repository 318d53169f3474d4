//go:build unix

package main

import (
	"os"
	"syscall"
)

// pollStdin makes a pipe on standard input one that Close wakes a reader of:
// Go waits for data in a system call otherwise, which Ctrl-C does not end.
func pollStdin() {
	info, err := os.Stdin.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return
	}
	// A duplicate, since the File that os.Stdin was closes its own when it is
	// garbage.
	fd, err := syscall.Dup(syscall.Stdin)
	if err != nil || syscall.SetNonblock(fd, true) != nil {
		return
	}
	syscall.CloseOnExec(fd)
	os.Stdin = os.NewFile(uintptr(fd), os.Stdin.Name())
}
