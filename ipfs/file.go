package ipfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
)

// File reads a UnixFS file. It is an io.ReadSeekCloser and io.WriterTo, fetches
// only the blocks that it needs, and is not safe for concurrent use.
type File struct {
	ctx    context.Context
	cancel context.CancelFunc
	g      Getter
	ahead  int
	root   child
	pos    int64

	leaf  child  // the leaf that data belongs to
	data  []byte // its content, nil before the first read
	queue []*fetch
	walk  *leafWalk // yields the leaf behind the last of queue; nil after a seek

	bounded bool     // by parts, of which those are left that the walk is not past
	parts   []Extent // of the file that are going to be read
}

// Extent is a part of a file, from Start to before End.
type Extent struct{ Start, End int64 }

// fetch is a leaf being read ahead.
type fetch struct {
	child
	done chan struct{}
	data []byte
	err  error
}

const aheadBytes = 16 << 20 // at most so much is read ahead, whatever the number of blocks

// How many blocks are read ahead of somebody far away: of what may be given up at any
// time, such as a client's request, and of what is wanted to its end.
const (
	ReadAhead      = 16
	ReadAheadWhole = 32
)

// OpenFile opens the UnixFS file c. Up to ahead blocks, and 16 MiB, are
// fetched at once before they are asked for: use 0 for a local store. Errors
// match those of g, and [ErrCorrupt] for what is no UnixFS file.
func OpenFile(ctx context.Context, g Getter, c cid.Cid, ahead int) (*File, error) {
	data, err := g.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	size, err := SizeOfFile(c, data)
	if err != nil {
		return nil, err
	}
	f := &File{g: g, ahead: ahead, root: child{cid: c, end: size}}
	f.ctx, f.cancel = context.WithCancel(ctx)
	if c.Prefix().Codec == cid.Raw { // the whole file
		f.leaf, f.data = f.root, data
	}
	return f, nil
}

// FileSize tells the bytes in the UnixFS file c by reading its first block only.
func FileSize(ctx context.Context, g Getter, c cid.Cid) (int64, error) {
	data, err := g.Get(ctx, c)
	if err != nil {
		return 0, err
	}
	return SizeOfFile(c, data)
}

// SizeOfFile reads the size of the UnixFS file c, in bytes, from its first block. The
// error matches [ErrCorrupt] for what is no file.
func SizeOfFile(c cid.Cid, data []byte) (int64, error) {
	if c.Prefix().Codec == cid.Raw {
		return int64(len(data)), nil
	}
	node, fs, err := decodeFileNode(c, data)
	if err != nil {
		return 0, err
	}
	if fs.FileSize() > math.MaxInt64 || fs.FileSize() == 0 && len(node.Links()) > 0 {
		return 0, fmt.Errorf("%w: node %s says that its file has %d bytes", ErrCorrupt, c, fs.FileSize())
	}
	return int64(fs.FileSize()), nil
}

// Expect says which parts are going to be read, in this order: nothing behind or
// between them is read ahead. Whatever else is read comes when it is asked for.
func (f *File) Expect(parts ...Extent) { f.bounded, f.parts = true, parts }

// Size is the length of the file in bytes.
func (f *File) Size() int64 { return f.root.end }

// Close stops reading ahead.
func (f *File) Close() error {
	f.cancel()
	for _, q := range f.queue {
		<-q.done
	}
	f.queue, f.data = nil, nil
	return nil
}

func (f *File) Read(p []byte) (int, error) {
	if f.pos >= f.Size() {
		return 0, io.EOF
	}
	if err := f.load(); err != nil {
		return 0, err
	}
	n := copy(p, f.data[f.pos-f.leaf.start:])
	f.pos += int64(n)
	return n, nil
}

// WriteTo writes the rest of the file block by block, without copying. Large
// blocks of a [Sender] go to an io.ReaderFrom without being read.
func (f *File) WriteTo(w io.Writer) (written int64, err error) {
	viewer, _ := f.g.(Viewer)
	for f.pos < f.Size() {
		var n int64
		if viewer != nil && f.ahead == 0 && !f.loaded() {
			n, err = f.writeLeaf(w, viewer)
		} else if err = f.load(); err == nil {
			var short int
			short, err = w.Write(f.data[f.pos-f.leaf.start:])
			n = int64(short)
		}
		f.pos, written = f.pos+n, written+n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// sendFrom is the size from which a block is worth the system calls of Send.
const sendFrom = 128 << 10

// writeLeaf writes the rest of the leaf at f.pos from where the source has it.
func (f *File) writeLeaf(w io.Writer, v Viewer) (n int64, err error) {
	leaf, err := f.walkTo(f.pos).leaf()
	if err != nil {
		return 0, err
	}
	s, sends := v.(Sender)
	to, takes := w.(io.ReaderFrom)
	if rest := leaf.end - f.pos; sends && takes && rest >= sendFrom && leaf.cid.Type() == cid.Raw {
		n, err := s.Send(f.ctx, leaf.cid, f.pos-leaf.start, to)
		if err == nil && n != rest {
			err = fmt.Errorf("%w: block %s holds %d bytes behind offset %d of the file, its parent says %d", ErrCorrupt, leaf.cid, n, f.pos, rest)
		}
		return n, err
	}
	err = v.View(f.ctx, leaf.cid, func(data []byte) error {
		content, err := leaf.content(data)
		if err == nil {
			var short int
			short, err = w.Write(content[f.pos-leaf.start:])
			n = int64(short)
		}
		return err
	})
	return n, err
}

// walkTo gives a walk whose next leaf is the one that covers pos.
func (f *File) walkTo(pos int64) *leafWalk {
	if f.walk == nil || f.walk.next != pos {
		f.walk = &leafWalk{f: f, next: pos}
	}
	return f.walk
}

// loaded tells whether f.data is the leaf that covers f.pos.
func (f *File) loaded() bool { return f.data != nil && f.leaf.covers(f.pos) }

// Seek moves within the file; blocks between are not read.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.Size()
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of the file")
	}
	f.pos = offset
	return offset, nil
}

// load makes f.data the leaf that covers f.pos.
func (f *File) load() error {
	if f.loaded() {
		return nil
	}
	if len(f.queue) == 0 || !f.queue[0].covers(f.pos) {
		for _, q := range f.queue { // a seek has made them useless
			<-q.done
		}
		f.queue = f.queue[:0]
		f.walkTo(f.pos)
	}
	if err := f.fill(); err != nil {
		return err
	}
	q := f.queue[0]
	f.queue = f.queue[1:]
	select {
	case <-q.done:
	case <-f.ctx.Done():
		<-q.done
	}
	if q.err != nil {
		return q.err
	}
	f.leaf, f.data = q.child, q.data
	return nil
}

// fill starts fetches until the window is full; the queue has one at least.
func (f *File) fill() error {
	queued := int64(0)
	for _, q := range f.queue {
		queued += q.end - q.start
	}
	for len(f.queue) == 0 || (len(f.queue) <= f.ahead && queued < aheadBytes && f.onward()) {
		leaf, err := f.walk.leaf()
		if err != nil && len(f.queue) == 0 {
			return err
		}
		if err != nil { // the end of the file among them
			return nil
		}
		q := &fetch{child: leaf, done: make(chan struct{})}
		f.queue = append(f.queue, q)
		queued += leaf.end - leaf.start
		if f.ahead == 0 {
			q.run(f)
		} else {
			go q.run(f)
		}
	}
	return nil
}

// onward moves the walk to what is to be read ahead next; false when that is nothing.
func (f *File) onward() bool {
	if !f.bounded {
		return true
	}
	for len(f.parts) > 0 {
		if part := f.parts[0]; f.walk.next < part.End {
			f.walkTo(max(f.walk.next, part.Start))
			return true
		}
		f.parts = f.parts[1:]
	}
	return false
}

func (q *fetch) run(f *File) {
	defer close(q.done)
	if q.data, q.err = f.g.Get(f.ctx, q.cid); q.err == nil {
		q.data, q.err = q.content(q.data)
	}
}

func decodeFileNode(c cid.Cid, data []byte) (*merkledag.ProtoNode, *unixfs.FSNode, error) {
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: block %s is no dag-pb node: %v", ErrCorrupt, c, err)
	}
	fs, err := unixfs.FSNodeFromBytes(node.Data())
	if err != nil {
		return nil, nil, fmt.Errorf("%w: block %s is no UnixFS node: %v", ErrCorrupt, c, err)
	}
	if t := fs.Type(); t != unixfs.TFile && t != unixfs.TRaw {
		return nil, nil, fmt.Errorf("%w: block %s is a UnixFS %s, not a file", ErrCorrupt, c, t)
	}
	return node, fs, nil
}
