package sources

import "github.com/image2ipfs/image2ipfs/ipfs"

// Origin is a place that blocks come from, by what may be asked of it.
type Origin struct {
	Near ipfs.Getter // what it holds: answers at once and asks nobody; nil for none
	Far  ipfs.Getter // what it finds elsewhere, and takes its time for; nil for none
	// Ahead is how many blocks of a blob are asked of Near at once: 0 for a store
	// in this process, a few for one behind a socket.
	Ahead int
}

// Of makes a [Set] of all that the origins have, the near ones first.
func Of(opts Options, origins ...Origin) *Set {
	var near, far []*Source
	for _, o := range origins {
		if o.Near != nil {
			near = append(near, Near(o.Near))
		}
		if o.Far != nil {
			far = append(far, Far(o.Far))
		}
	}
	return New(opts, append(near, far...)...)
}
