package main

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/image2ipfs/image2ipfs/internal/output"
)

// errStdoutClosed is about a result that nobody gets.
var errStdoutClosed = errors.New("standard output is closed")

// closed is the writer in place of a standard output that is closed.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errStdoutClosed }

// standardOutput is the file, or what fails where the process was started without
// it (>&-): Go's runtime opens /dev/null there, to which all writes succeed. It
// does so for each file by itself, for reading and writing, and not to be closed by
// exec; who discards output has opened it otherwise, or has it several times.
func standardOutput(ctx context.Context) io.Writer {
	var out, null unix.Stat_t
	if unix.Fstat(1, &out) != nil || unix.Stat(os.DevNull, &null) != nil || out.Mode&unix.S_IFMT != unix.S_IFCHR || out.Rdev != null.Rdev {
		return output.Until(ctx, os.Stdout)
	}
	flags, err := unix.FcntlInt(1, unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != unix.O_RDWR || flags&(unix.O_CLOEXEC|unix.O_APPEND|unix.O_NONBLOCK) != 0 || shared(flags) {
		return output.Until(ctx, os.Stdout)
	}
	return closed{}
}

// shared tells whether standard input or standard error is the same open file as
// standard output, as for daemons: a flag that is set on one is on the other.
func shared(flags int) bool {
	if _, err := unix.FcntlInt(1, unix.F_SETFL, flags|unix.O_APPEND); err != nil {
		return true
	}
	defer func() { _, _ = unix.FcntlInt(1, unix.F_SETFL, flags) }() // what was set could be set
	for _, other := range []uintptr{0, 2} {
		if is, err := unix.FcntlInt(other, unix.F_GETFL, 0); err == nil && is&unix.O_APPEND != 0 {
			return true
		}
	}
	return false
}
