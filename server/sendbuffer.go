package server

import (
	"crypto/tls"
	"net"
)

// sendBuffers bound what the system keeps of answers that clients have not taken, of all
// connections together: thousands of slow readers would else have all memory that it has
// for TCP, and then it resets connections of whoever comes.
//
// While few are busy each may have what the system gives it, which grows with the way to
// the client. When there are more, each that begins a request is given its part, which is
// as much of the way together as before.
type sendBuffers struct {
	total int64 // bytes for all; 0 for no bound
	most  int64 // that the system gives one by itself
}

// leastSendBuffer keeps even a slow connection going, in bytes.
const leastSendBuffer = 64 << 10

// part is how many bytes a connection may have of which so many are busy, itself
// included; 0 for as many as the system gives it.
func (b sendBuffers) part(busy int) int64 {
	part := b.total / int64(max(busy, 1))
	if b.total == 0 || part >= b.most {
		return 0
	}
	size := int64(leastSendBuffer)
	for 2*size <= part { // so that few changes are made
		size *= 2
	}
	return size
}

// fit bounds a connection that begins a request beside others that are busy. It may have
// more again when they have gone, but the system does not go on to grow it by itself.
func (b sendBuffers) fit(conn net.Conn, p *place, busy int) {
	part := b.part(busy)
	if part == 0 && p.sendBuffer != 0 {
		part = b.most
	}
	if part == p.sendBuffer {
		return
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if setSendBuffer(conn, part) {
		p.sendBuffer = part
	}
}
