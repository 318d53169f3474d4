package server

import (
	"net"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
)

// From has images come from origins: what is near is Local, what is far is Remote
// when the configuration is Open by then, since a server that is not fetches for
// nobody.
func (c *Config) From(origins ...sources.Origin) {
	var near []ipfs.Getter
	for _, o := range origins {
		if o.Near != nil {
			near = append(near, o.Near)
			c.LocalAhead = max(c.LocalAhead, o.Ahead)
		}
		if o.Far != nil && c.Open {
			c.Remote = append(c.Remote, o.Far)
		}
	}
	if len(near) > 0 {
		c.Local = ipfs.First(near...)
	}
}

// IsLoopback tells that only this machine reaches an address: what is fetched
// there is fetched for nobody else.
func IsLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
