package ipfs

import (
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
)

// child is a node of a file's DAG and the range of the file that it covers.
type child struct {
	cid        cid.Cid
	start, end int64
}

func (c child) covers(pos int64) bool { return c.start <= pos && pos < c.end }

// content is what a leaf's block holds of the file.
func (c child) content(block []byte) ([]byte, error) {
	if c.cid.Prefix().Codec != cid.Raw {
		_, fs, err := decodeFileNode(c.cid, block)
		if err != nil {
			return nil, err
		}
		block = fs.Data()
	}
	if int64(len(block)) != c.end-c.start {
		return nil, fmt.Errorf("%w: block %s holds %d bytes of the file, its parent says %d", ErrCorrupt, c.cid, len(block), c.end-c.start)
	}
	return block, nil
}

// leafWalk goes through the leaves of a file from an offset on.
type leafWalk struct {
	f     *File
	next  int64   // offset in the file of the next leaf to yield
	stack []level // from the root down
}

type level struct {
	children []child
	i        int // the next of children
}

// leaf yields the leaf that covers w.next and moves behind it.
// Behind the last one the error is io.EOF.
func (w *leafWalk) leaf() (child, error) {
	if w.next >= w.f.Size() {
		return child{}, io.EOF
	}
	if w.stack == nil {
		w.stack = []level{{children: []child{w.f.root}}}
	}
	for len(w.stack) > 0 {
		top := &w.stack[len(w.stack)-1]
		for top.i < len(top.children) && top.children[top.i].end <= w.next {
			top.i++
		}
		if top.i == len(top.children) {
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		c := top.children[top.i]
		top.i++
		below, err := w.descend(c)
		if err != nil {
			top.i--
			return child{}, err
		}
		if below == nil {
			w.next = c.end
			return c, nil
		}
		w.stack = append(w.stack, level{children: below})
	}
	return child{}, fmt.Errorf("%w: file %s ends at offset %d of %d", ErrCorrupt, w.f.root.cid, w.next, w.f.Size())
}

const maxDepth = 16 // a balanced DAG of 1024 links is 4 deep at 1 EiB

// descend gives the children of c, nil when c is a leaf.
func (w *leafWalk) descend(c child) ([]child, error) {
	if c.cid.Prefix().Codec == cid.Raw {
		return nil, nil
	}
	if len(w.stack) > maxDepth {
		return nil, fmt.Errorf("%w: file %s is more than %d levels deep", ErrCorrupt, w.f.root.cid, maxDepth)
	}
	data, err := w.f.g.Get(w.f.ctx, c.cid)
	if err != nil {
		return nil, err
	}
	node, fs, err := decodeFileNode(c.cid, data)
	if err != nil {
		return nil, err
	}
	links := node.Links()
	if len(links) == 0 {
		return nil, nil
	}
	if fs.NumChildren() != len(links) || len(fs.Data()) > 0 {
		return nil, fmt.Errorf("%w: node %s has %d links, %d sizes and %d bytes of its own", ErrCorrupt, c.cid, len(links), fs.NumChildren(), len(fs.Data()))
	}
	below, start := make([]child, len(links)), c.start
	for i, l := range links {
		below[i] = child{cid: l.Cid, start: start, end: start + int64(fs.BlockSize(i))}
		// Nobody reads an empty child, and so nobody misses it; or int64 overflowed; or children overlap.
		if below[i].end <= start || below[i].end > c.end {
			return nil, fmt.Errorf("%w: node %s says that its child %d has %d bytes", ErrCorrupt, c.cid, i, fs.BlockSize(i))
		}
		start = below[i].end
	}
	if start != c.end {
		return nil, fmt.Errorf("%w: children of node %s hold %d bytes, its parent says %d", ErrCorrupt, c.cid, start-c.start, c.end-c.start)
	}
	return below, nil
}
