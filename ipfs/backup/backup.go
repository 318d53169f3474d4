// Package backup writes what a store keeps into one stream, and brings it into another: a
// CARv1 whose first blocks are a file (UnixFS) of JSON that says what is kept, and whose
// root is that file; then each block below that once, parents before what they link to. So
// every reader of CARs can read it, and a stream that was cut is told from a whole one.
package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// ErrFormat is matched by errors about what is no backup, or not a whole one.
var ErrFormat = errors.New("not a whole backup of image2ipfs")

// format and version are what a backup says of itself.
const (
	format  = "image2ipfs backup"
	version = 1
)

// Contents is what is kept.
type Contents struct {
	Format  string        `json:"format"`
	Version int           `json:"version"`
	Made    time.Time     `json:"made"`
	Roots   []ipfs.Root   `json:"roots"`
	Records []ipfs.Record `json:"records,omitempty"`
	Names   []Name        `json:"names,omitempty"` // that move
}

// Name is the newest record that was seen of a name that moves. It is signed; no key is in
// a backup.
type Name struct {
	Name   string `json:"name"` // IPNS name, base36
	Record []byte `json:"record"`
}

// Stats tells how much was written.
type Stats struct {
	Blocks int
	Bytes  int64 // of these
}

// Options are those of [Write] and [Read].
type Options struct {
	// Progress is told of the bytes of each block; nil for nobody.
	Progress func(n int)
	// Replace has records take the place of others that are there already, such as what a
	// local name means. None ends earlier than what was there.
	Replace bool
}

func (o Options) progress(n int) {
	if o.Progress != nil {
		o.Progress(n)
	}
}

// Write writes a backup of c, whose blocks come from a Getter and are checked. Format,
// version and time are set here. Errors are those of the Getter and of w, or match
// [ipfs.ErrCorrupt] for a damaged block, and name the image or record that needs it.
func Write(ctx context.Context, w io.Writer, from ipfs.Getter, c Contents, o Options) (Stats, error) {
	c.Format, c.Version, c.Made = format, version, time.Now().UTC().Truncate(time.Millisecond)
	text, err := json.Marshal(c)
	if err != nil {
		return Stats{}, err
	}
	file := &blocks{of: map[string][]byte{}}
	link, err := ipfs.AddFile(ctx, file, bytes.NewReader(text))
	if err != nil {
		return Stats{}, err
	}
	to, err := car.NewWriter(w, link.CID)
	if err != nil {
		return Stats{}, err
	}
	out := &writer{ctx: ctx, from: file, to: to, seen: map[string]bool{}, o: Options{}}
	if err := out.walk(link.CID); err != nil {
		return Stats{}, err
	}
	out.from, out.o, out.stats = ipfs.Verified(from), o, Stats{}
	for _, r := range c.Roots {
		if err := out.walk(r.CID); err != nil {
			return out.stats, fmt.Errorf("image %s: %w", r.CID, err)
		}
	}
	for _, r := range c.Records {
		if err := out.walk(r.CID); err != nil {
			return out.stats, fmt.Errorf("record of %s %q of %q: %w", r.Kind, r.Name, r.Space, err)
		}
	}
	return out.stats, nil
}

// writer writes blocks, each once.
type writer struct {
	ctx   context.Context
	from  ipfs.Getter
	to    *car.Writer
	seen  map[string]bool // by keyOf
	stats Stats
	o     Options
}

// keyOf is the same for both versions of a CID, and not for the same bytes read in
// different ways.
func keyOf(c cid.Cid) string { return cid.NewCidV1(c.Type(), c.Hash()).KeyString() }

// hasContent tells whether a CID holds the content itself, so that there is no block.
func hasContent(c cid.Cid) bool { return c.Prefix().MhType == multihash.IDENTITY }

func (w *writer) walk(c cid.Cid) error {
	if w.seen[keyOf(c)] || hasContent(c) {
		return nil
	}
	w.seen[keyOf(c)] = true
	if err := w.ctx.Err(); err != nil {
		return err
	}
	data, err := w.from.Get(w.ctx, c)
	if err != nil {
		return err
	}
	links, err := ipfs.Links(c, data)
	if err != nil {
		return err
	}
	if err := w.to.Block(c, data); err != nil {
		return err
	}
	w.stats.Blocks++
	w.stats.Bytes += int64(len(data))
	w.o.progress(len(data))
	for _, l := range links {
		if err := w.walk(l.Cid); err != nil {
			return err
		}
	}
	return nil
}

// blocks are a few in memory.
type blocks struct {
	of    map[string][]byte // by keyOf
	bytes int64
}

// Put implements [ipfs.Putter].
func (b *blocks) Put(_ context.Context, c cid.Cid, data []byte) error {
	b.of[keyOf(c)] = bytes.Clone(data)
	b.bytes += int64(len(data))
	return nil
}

// Get implements [ipfs.Getter].
func (b *blocks) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	data, ok := b.of[keyOf(c)]
	if !ok {
		return nil, fmt.Errorf("%w: block %s", ipfs.ErrNotFound, c)
	}
	return data, nil
}
