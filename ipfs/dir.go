package ipfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/hamt"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// Dir is a UnixFS directory, plain or sharded (HAMT). It is safe for
// concurrent use.
type Dir struct {
	g       Getter
	cid     cid.Cid
	node    *merkledag.ProtoNode // of sharded directories
	entries map[string]Link      // nil for sharded directories
	cost    int64
}

// What is certain is told apart from blocks that a source lacks at the moment;
// errors about those match [ErrNotFound], as these do, and neither of these.
var (
	// ErrNoEntry is matched by errors about entries that a directory does not have.
	ErrNoEntry = fmt.Errorf("%w", ErrNotFound)
	// ErrNoDir is matched by errors about what is no directory.
	ErrNoDir = fmt.Errorf("%w", ErrNotFound)
)

// OpenDir reads the directory c. A plain one is one block, and its look-ups
// then read nothing more. Errors match those of g, and [ErrNoDir] when c is
// something else than a directory.
func OpenDir(ctx context.Context, g Getter, c cid.Cid) (*Dir, error) {
	if c.Prefix().Codec != cid.DagProtobuf {
		return nil, fmt.Errorf("%w: %s is a file, not a directory", ErrNoDir, c)
	}
	data, err := g.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil, fmt.Errorf("%w: block %s is no dag-pb node: %v", ErrCorrupt, c, err)
	}
	fs, err := unixfs.FSNodeFromBytes(node.Data())
	if err != nil {
		return nil, fmt.Errorf("%w: block %s is no UnixFS node: %v", ErrCorrupt, c, err)
	}
	d := &Dir{g: g, cid: c, cost: int64(2*len(data) + linkCost*len(node.Links()))}
	switch fs.Type() {
	case unixfs.TDirectory:
		d.entries = make(map[string]Link, len(node.Links()))
		for _, l := range node.Links() {
			d.entries[l.Name] = Link{CID: l.Cid, DAG: l.Size}
		}
	case unixfs.THAMTShard:
		d.node = node
	default:
		return nil, fmt.Errorf("%w: %s is a UnixFS %s, not a directory", ErrNoDir, c, fs.Type())
	}
	return d, nil
}

// linkCost is what a link takes in memory beside its name and CID.
const linkCost = 128

// Cost is roughly how many bytes of memory d takes.
func (d *Dir) Cost() int64 { return d.cost }

// Lookup finds an entry; the error matches [ErrNoEntry] when there is none.
func (d *Dir) Lookup(ctx context.Context, name string) (cid.Cid, error) {
	link, err := d.entry(ctx, name)
	return link.CID, err
}

// entry finds an entry with what the directory says of the size of its DAG.
func (d *Dir) entry(ctx context.Context, name string) (Link, error) {
	if d.entries != nil {
		if link, ok := d.entries[name]; ok {
			return link, nil
		}
		return Link{}, fmt.Errorf("%w: no %q in directory %s", ErrNoEntry, name, d.cid)
	}
	shard, err := hamt.NewHamtFromDag(dagReader{g: d.g}, d.node)
	if err != nil {
		return Link{}, fmt.Errorf("%w: directory %s: %v", ErrCorrupt, d.cid, err)
	}
	link, err := shard.Find(ctx, name)
	if errors.Is(err, os.ErrNotExist) {
		return Link{}, fmt.Errorf("%w: no %q in directory %s", ErrNoEntry, name, d.cid)
	}
	if err != nil {
		return Link{}, err
	}
	return Link{CID: link.Cid, DAG: link.Size}, nil
}

// ForEach calls fn for every entry, in no order.
func (d *Dir) ForEach(ctx context.Context, fn func(name string, c cid.Cid) error) error {
	if d.entries == nil {
		shard, err := hamt.NewHamtFromDag(dagReader{g: d.g}, d.node)
		if err != nil {
			return fmt.Errorf("%w: directory %s: %v", ErrCorrupt, d.cid, err)
		}
		return shard.ForEachLink(ctx, func(l *ipld.Link) error { return fn(l.Name, l.Cid) })
	}
	for name, link := range d.entries {
		if err := fn(name, link.CID); err != nil {
			return err
		}
	}
	return nil
}

// Resolve follows a slash-separated path below root. Errors match those of g
// and [ErrNotFound].
func Resolve(ctx context.Context, g Getter, root cid.Cid, path string) (cid.Cid, error) {
	roots, err := ResolveAll(ctx, g, root, path)
	if err != nil {
		return cid.Undef, err
	}
	return roots[len(roots)-1], nil
}

// ResolveAll is [Resolve] that gives the CIDs of all segments of the path, from root
// to what the path leads to (path gateway specification, "X-Ipfs-Roots").
func ResolveAll(ctx context.Context, g Getter, root cid.Cid, path string) ([]cid.Cid, error) {
	roots := []cid.Cid{root}
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) {
		d, err := OpenDir(ctx, g, root)
		if err != nil {
			return nil, err
		}
		if root, err = d.Lookup(ctx, name); err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	return roots, nil
}

// Symlink reads where the UnixFS symbolic link c leads to, as it was written. Errors
// match those of g, and [ErrCorrupt] for what is no symbolic link.
func Symlink(ctx context.Context, g Getter, c cid.Cid) (string, error) {
	data, err := g.Get(ctx, c)
	if err != nil {
		return "", err
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return "", fmt.Errorf("%w: block %s is no dag-pb node: %v", ErrCorrupt, c, err)
	}
	fs, err := unixfs.FSNodeFromBytes(node.Data())
	if err != nil || fs.Type() != unixfs.TSymlink {
		return "", fmt.Errorf("%w: block %s is no UnixFS symlink", ErrCorrupt, c)
	}
	return string(fs.Data()), nil
}

// ReadFile reads a whole file of at most limit bytes; a larger one is an error
// that matches [ErrCorrupt].
func ReadFile(ctx context.Context, g Getter, c cid.Cid, limit int64) ([]byte, error) {
	f, err := OpenFile(ctx, g, c, 4)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > limit {
		return nil, fmt.Errorf("%w: file %s has %d bytes, at most %d are allowed", ErrCorrupt, c, f.Size(), limit)
	}
	release, err := HoldReading(ctx, f.Size())
	if err != nil {
		return nil, err
	}
	defer release()
	data := make([]byte, f.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	return data, nil
}

// dagReader is the read half of a DAGService over a Getter, for boxo's HAMT.
type dagReader struct {
	ipld.DAGService
	g Getter
}

func (d dagReader) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	data, err := d.g.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		return nil, err
	}
	if c.Prefix().Codec == cid.Raw {
		return merkledag.DecodeRawBlock(b)
	}
	return merkledag.DecodeProtobufBlock(b)
}

func (d dagReader) GetMany(ctx context.Context, cids []cid.Cid) <-chan *ipld.NodeOption {
	out := make(chan *ipld.NodeOption, len(cids))
	for _, c := range cids {
		n, err := d.Get(ctx, c)
		out <- &ipld.NodeOption{Node: n, Err: err}
	}
	close(out)
	return out
}
