//go:build !linux

package server

import "net"

// boundUnsent is for Linux, where accepted connections have it of their listener.
func boundUnsent(net.Listener) {}

// systemSendBuffers bound nothing where it is not known what the system has.
func systemSendBuffers() sendBuffers { return sendBuffers{} }

func setSendBuffer(net.Conn, int64) bool { return false }
