package server

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxUnsent is how much the system keeps for a client that takes nothing, beyond what
// is on its way: thousands of slow readers would fill the memory of all connections.
const maxUnsent = 512 << 10

// boundUnsent has all connections of a listener keep no more than maxUnsent.
func boundUnsent(l net.Listener) {
	if t, ok := l.(*net.TCPListener); ok {
		if raw, err := t.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { // it works as well without, in more memory
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
			})
		}
	}
}
