// Package netlab simulates machines on a network: network namespaces joined by
// a bridge, whose links can be slowed down and counted. Only Linux has them, and
// only root can make them.
//
// Each namespace, the bridge's too, lives as long as a process that does nothing
// else; that process, and all that runs on the machines, is killed by the kernel
// when the program ends, however it ends. The network of the host is not touched.
package netlab
