package server

import (
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
)

// From has images come from origins: what is near is Local, what is far is
// Reserved for those for whom the server fetches.
func (c *Config) From(origins ...sources.Origin) {
	var near []ipfs.Getter
	for _, o := range origins {
		if o.Near != nil {
			near = append(near, o.Near)
			c.LocalAhead = max(c.LocalAhead, o.Ahead)
		}
		if o.Far != nil {
			c.Reserved = append(c.Reserved, o.Far)
		}
	}
	if len(near) > 0 {
		c.Local = ipfs.First(near...)
	}
}
