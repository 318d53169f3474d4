//go:build !linux

package server

import "net"

// boundUnsent is for Linux, where accepted connections have it of their listener.
func boundUnsent(net.Listener) {}
