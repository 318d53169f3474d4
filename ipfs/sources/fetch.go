package sources

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Fetcher is a source that gets whole DAGs ahead of their readers, and what it
// gets for one it may use for another.
type Fetcher interface {
	// Fetch says that the DAG under c is about to be read, until release is
	// called. Its blocks are read from g, which checks them; errors are those
	// of [ipfs.Getter], and [ipfs.ErrCorrupt]. What is near is not fetched.
	Fetch(c cid.Cid) (g ipfs.Getter, release func())
}

// fetch is the fetching of one DAG by a [Fetcher].
type fetch struct {
	from    *Source
	g       ipfs.Getter
	release func()
}

// fetched gives a block by way of a source that gets the DAG ahead. That begins
// with the first block that is not near. It is nil when there is no such
// source, or when it has failed.
func (d *DAG) fetched(ctx context.Context, c cid.Cid) []byte {
	if !d.ahead() {
		return nil
	}
	for _, near := range d.set.near {
		if near.answering() == nil {
			if data, err := near.get(ctx, c); err == nil {
				return data
			}
		}
	}
	f := d.fetch()
	if f == nil {
		return nil
	}
	data, err := f.g.Get(ctx, c)
	if err != nil {
		d.set.opts.Logger.Debug("a block was not fetched ahead", "source", f.from.name, "error", err)
		return nil
	}
	return data
}

// ahead tells whether the DAG is to be got ahead of its reader.
func (d *DAG) ahead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.whole && !d.closed && d.cancel == nil && d.fetcher() != nil
}

// fetcher gives the source to get the DAG from ahead: the one that gave its
// first block, or, when that was near, the first there is.
func (d *DAG) fetcher() *Source {
	for _, from := range d.set.far {
		if from.ahead != nil && (d.origin == nil || d.origin == from) && from.trusted() == nil {
			return from
		}
	}
	return nil
}

// fetch begins to get the DAG, if that is not under way.
func (d *DAG) fetch() *fetch {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	if d.fetching == nil {
		from := d.fetcher()
		if from == nil { // it has lied meanwhile
			return nil
		}
		g, release := from.ahead.Fetch(d.root)
		d.fetching = &fetch{from, g, release}
	}
	return d.fetching
}
