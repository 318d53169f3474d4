package server

import (
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxUnsent is how much the system keeps for a client that takes nothing, beyond what
// is on its way: thousands of slow readers would fill the memory of all connections.
const maxUnsent = 512 << 10

// sendPart is the part of the system's memory for TCP, one in so many, that all send
// buffers may have. Buffers that were given when fewer were busy stay as large as they
// are, so that all can come to some five times as much, which is less than half.
const sendPart = 12

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

// systemSendBuffers is what the system has: net.ipv4.tcp_mem, in pages, of which the last
// is where it begins to reset connections, and net.ipv4.tcp_wmem, in bytes, of which the
// last is the most that one connection has (tcp(7)).
func systemSendBuffers() sendBuffers {
	pages, most := lastNumber("/proc/sys/net/ipv4/tcp_mem"), lastNumber("/proc/sys/net/ipv4/tcp_wmem")
	return sendBuffers{total: pages * int64(os.Getpagesize()) / sendPart, most: most}
}

// lastNumber reads the last number of a file; 0 when there is none.
func lastNumber(path string) int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// setSendBuffer gives a connection a send buffer of so many bytes, the system's
// bookkeeping included; false where that cannot be.
func setSendBuffer(conn net.Conn, size int64) bool {
	t, ok := conn.(*net.TCPConn)
	// Of what is asked for the system makes twice as much, for the bookkeeping.
	return ok && t.SetWriteBuffer(int(size/2)) == nil
}
