package car

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Scope is how much of a DAG is taken along (trustless gateway specification,
// dag-scope).
type Scope string

// The scopes that there are.
const (
	All    Scope = "all"    // everything below
	Entity Scope = "entity" // the whole of a file, or what lists a directory
	Block  Scope = "block"  // its first block
)

// Valid tells whether there is such a scope.
func (s Scope) Valid() bool { return s == All || s == Entity || s == Block }

// Selection is what of a DAG is written, and how often.
type Selection struct {
	Scope Scope  // default All
	Bytes *Range // of a file, the blocks that hold these bytes only; goes with Entity
	Dups  bool   // a block is written as often as it occurs
}

// Limits of a DAG. What is beyond could keep a reader busy for ever: a DAG may say
// in few blocks that one of them occurs any number of times.
const (
	maxDAGDepth = 128
	maxRepeats  = 100_000 // blocks that are met again, and written or walked once more
	maxAgain    = 8 << 30 // bytes of blocks that are written again
)

// ErrRepeats is matched by the error about a DAG in which blocks occur again more
// than 100,000 times, or with more than 8 GiB. Without Dups only ranges of files can
// meet it.
var ErrRepeats = errors.New("blocks of the DAG occur again too often")

// DAG writes the blocks of path and then the DAG under c, depth first, got from g.
// What it remembers is the hashes of the blocks, some 100 bytes for each MiB or less
// of an image. Errors are those of g and of the writer, [ErrRepeats], or match
// [ipfs.ErrCorrupt] for what is no DAG of files.
func (w *Writer) DAG(ctx context.Context, g ipfs.Getter, path []cid.Cid, c cid.Cid, what Selection) error {
	if what.Scope == "" {
		what.Scope = All
	}
	e := &export{ctx: ctx, g: g, car: w, Selection: what, sent: map[string]progress{}}
	for _, on := range path {
		data, err := g.Get(ctx, on)
		if err != nil {
			return err
		}
		if err := e.block(on, data); err != nil {
			return err
		}
	}
	data, err := g.Get(ctx, c)
	if err != nil {
		return err
	}
	size := e.choose(c, data)
	return e.walk(c, data, extent{0, size}, 0)
}

// export is one DAG being written.
type export struct {
	ctx context.Context
	g   ipfs.Getter
	car *Writer
	Selection
	wanted  *extent // of the file, if not all of it
	sent    map[string]progress
	repeats int
	again   int64 // bytes written of blocks that were written before
}

// extent is a part of a file: its first byte, and the one behind its last.
type extent struct{ start, end int64 }

func (e extent) meets(other extent) bool  { return e.start < other.end && other.start < e.end }
func (e extent) covers(other extent) bool { return e.start <= other.start && other.end <= e.end }

// progress is what was written of the DAG below a block, by its multihash.
type progress byte

const (
	nothing progress = iota
	itself           // and perhaps some of what is below
	whole            // and all that is taken along
)

// choose makes of the range that was asked for the one of the file c, whose size it
// returns. What is no file has none, and a range without bytes needs the first block
// alone, which tells how large the file is.
func (e *export) choose(c cid.Cid, data []byte) int64 {
	if e.Bytes == nil {
		return 0
	}
	size, err := ipfs.SizeOfFile(c, data)
	if err != nil {
		return 0
	}
	first, end := e.Bytes.within(size)
	if first >= end {
		e.Scope = Block
		return size
	}
	e.wanted = &extent{first, end}
	return size
}

// block writes a block, unless it was written and is to be once. One whose CID holds
// the content itself (identity) is never written (trustless gateway specification,
// "CAR dups").
func (e *export) block(c cid.Cid, data []byte) error {
	if c.Prefix().MhType == multihash.IDENTITY {
		return nil
	}
	key := string(c.Hash())
	if e.sent[key] != nothing {
		if !e.Dups {
			return nil
		}
		if e.again += int64(len(data)); e.again > maxAgain {
			return fmt.Errorf("%w: with more than %d bytes, the last of them is %s", ErrRepeats, int64(maxAgain), c)
		}
	}
	e.sent[key] = max(e.sent[key], itself)
	return e.car.Block(c, data)
}

// walk writes the block c, which holds the bytes at of the file, and what is taken
// along below it.
func (e *export) walk(c cid.Cid, data []byte, at extent, depth int) error {
	key, before := string(c.Hash()), e.sent[string(c.Hash())]
	if before != nothing && depth > 0 {
		if before == whole && !e.Dups {
			return nil
		}
		if e.repeats++; e.repeats > maxRepeats {
			return fmt.Errorf("%w: more than %d times, the last of them is %s", ErrRepeats, maxRepeats, c)
		}
	}
	if err := e.block(c, data); err != nil || e.Scope == Block {
		return err
	}
	if depth > maxDAGDepth {
		return fmt.Errorf("%w: DAG is more than %d deep", ipfs.ErrCorrupt, maxDAGDepth)
	}
	below, err := e.below(c, data, at)
	if err != nil {
		return err
	}
	for _, b := range below {
		if !e.Dups && b.cid.Prefix().Codec == cid.Raw && e.sent[string(b.cid.Hash())] != nothing {
			continue
		}
		child, err := e.g.Get(e.ctx, b.cid)
		if err != nil {
			return err
		}
		if err := e.walk(b.cid, child, b.extent, depth+1); err != nil {
			return err
		}
	}
	if e.sent[key] != nothing && (e.wanted == nil || e.wanted.covers(at)) {
		e.sent[key] = whole
	}
	return nil
}

// child is a block below another.
type child struct {
	cid cid.Cid
	extent
}

// below are the blocks below c that are taken along. What links blocks of other
// codecs than dag-pb have is not known here: with them a DAG is not whole.
func (e *export) below(c cid.Cid, data []byte, at extent) ([]child, error) {
	switch c.Prefix().Codec {
	case cid.Raw:
		return nil, nil
	case cid.DagProtobuf:
	default:
		if e.Scope == All && linked[c.Prefix().Codec] {
			return nil, fmt.Errorf("%w: links of block %s, whose codec is 0x%x, are not followed: only those of dag-pb are", ErrCodec, c, c.Prefix().Codec)
		}
		return nil, nil
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil, fmt.Errorf("%w: block %s is no dag-pb node: %v", ipfs.ErrCorrupt, c, err)
	}
	fs, err := unixfs.FSNodeFromBytes(node.Data())
	switch {
	case e.Scope == All:
		return children(node.Links()), nil
	case err != nil:
		return nil, nil // of what is no UnixFS the first block is the entity
	}
	switch fs.Type() {
	case unixfs.TFile, unixfs.TRaw:
		if e.wanted == nil {
			return children(node.Links()), nil
		}
		return parts(c, node.Links(), fs, at.start, *e.wanted)
	case unixfs.THAMTShard: // links to shards have a name of the prefix alone
		prefix := len(fmt.Sprintf("%X", max(fs.Fanout(), 1)-1))
		return children(slices.DeleteFunc(slices.Clone(node.Links()), func(l *ipld.Link) bool { return len(l.Name) > prefix })), nil
	}
	return nil, nil
}

// ErrCodec is matched by the error about a block whose links this package cannot
// read, where all that is below was asked for.
var ErrCodec = errors.New("unsupported codec")

// linked are the codecs whose blocks have links, besides dag-pb (multicodec table).
var linked = map[uint64]bool{cid.DagCBOR: true, cid.DagJSON: true, cid.DagJOSE: true, cid.GitRaw: true}

// HasUnreadLinks tells whether blocks of a codec may have links that are not
// followed here.
func HasUnreadLinks(codec uint64) bool { return linked[codec] }

func children(links []*ipld.Link) []child {
	all := make([]child, len(links))
	for i, l := range links {
		all[i].cid = l.Cid
	}
	return all
}

// parts are the children of the file's node c, which begins at start, that hold some
// of what is wanted (UnixFS, "blocksizes").
func parts(c cid.Cid, links []*ipld.Link, fs *unixfs.FSNode, start int64, wanted extent) ([]child, error) {
	if fs.NumChildren() != len(links) {
		return nil, fmt.Errorf("%w: file node %s has %d links and %d sizes", ipfs.ErrCorrupt, c, len(links), fs.NumChildren())
	}
	var met []child
	at := start + int64(len(fs.Data()))
	for i, l := range links {
		size := fs.BlockSize(i)
		if size > maxFile-uint64(at) {
			return nil, fmt.Errorf("%w: file node %s says that its file has more than %d bytes", ipfs.ErrCorrupt, c, int64(maxFile))
		}
		part := child{l.Cid, extent{at, at + int64(size)}}
		if part.meets(wanted) {
			met = append(met, part)
		}
		at = part.end
	}
	return met, nil
}

const maxFile = 1 << 62 // bytes
