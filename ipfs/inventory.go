package ipfs

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Inventory lists the blocks that a tree consists of, so that it can be told which part
// of it somebody has. Blocks that occur several times are listed once.
type Inventory struct {
	Root   cid.Cid
	Blobs  []InventoryBlob // of the layout, in its order; none of a tree that is no layout
	blocks []listedBlock
	at     map[string]int // indices of blocks, by multihash
}

// InventoryBlob is a blob of a layout, and which blocks it consists of.
type InventoryBlob struct {
	Digest digest.Digest
	CID    cid.Cid
	blocks []int
}

type listedBlock struct {
	cid  cid.Cid
	size int64
}

// Part is how much of a tree somebody has.
type Part struct {
	Blobs  int   `json:"blobs"`  // that are whole
	Blocks int   `json:"blocks"` // different ones
	Bytes  int64 `json:"bytes"`  // in these blocks
}

// Share is which blocks of an [Inventory] somebody has.
type Share struct {
	list *Inventory
	has  []bool // as the inventory's blocks
}

// TakeInventory lists the blocks of the tree under root. It reads nodes, and no leaves.
// Errors are those of g, or match [ErrCorrupt].
func TakeInventory(ctx context.Context, g Getter, root cid.Cid) (*Inventory, error) {
	list := &Inventory{Root: root, at: map[string]int{}}
	g = Verified(g)
	l, err := OpenLayout(ctx, g, root)
	if errors.Is(err, ErrNoLayout) { // an old tree, or foreign: blocks it has all the same
		err = Blocks(ctx, g, root, 0, func(c cid.Cid, size int64) bool { list.add(c, size); return true })
		return list, err
	}
	if err != nil {
		return nil, err
	}
	isBlob := map[cid.Cid]bool{}
	err = l.Blobs(ctx, func(d digest.Digest, c cid.Cid) error {
		isBlob[c] = true
		size, err := l.Size(ctx, d)
		if err != nil {
			return err
		}
		blob := InventoryBlob{Digest: d, CID: c}
		err = Blocks(ctx, g, c, size, func(c cid.Cid, size int64) bool {
			blob.blocks = append(blob.blocks, list.add(c, size))
			return true
		})
		list.Blobs = append(list.Blobs, blob)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = Blocks(ctx, g, root, 0, func(c cid.Cid, size int64) bool {
		list.add(c, size)
		return !isBlob[c]
	})
	return list, err
}

// add lists a block and gives its index.
func (l *Inventory) add(c cid.Cid, size int64) int {
	key := string(c.Hash())
	if i, ok := l.at[key]; ok {
		return i
	}
	l.at[key] = len(l.blocks)
	l.blocks = append(l.blocks, listedBlock{c, size})
	return len(l.blocks) - 1
}

// Whole is all of it.
func (l *Inventory) Whole() Share {
	s := l.None()
	for i := range s.has {
		s.has[i] = true
	}
	return s
}

// None is nothing of it.
func (l *Inventory) None() Share { return Share{l, make([]bool, len(l.blocks))} }

// askedAtOnce is how many questions about blocks are open at the same time.
const askedAtOnce = 16

// Share asks about each block. The error is has's first.
func (l *Inventory) Share(ctx context.Context, has func(context.Context, cid.Cid) (bool, error)) (Share, error) {
	s := l.None()
	asks, ctx := errgroup.WithContext(ctx)
	asks.SetLimit(askedAtOnce)
	for i, b := range l.blocks {
		if ctx.Err() != nil {
			break
		}
		asks.Go(func() (err error) {
			s.has[i], err = has(ctx, b.cid)
			return err
		})
	}
	return s, asks.Wait()
}

// ShareOfBlobs is the share of who has the blobs whose files are listed, and, of what lies
// above them, the root.
func (l *Inventory) ShareOfBlobs(files []cid.Cid) Share {
	there := map[cid.Cid]bool{}
	for _, c := range files {
		there[c] = true
	}
	s := l.None()
	s.has[l.at[string(l.Root.Hash())]] = true
	for _, b := range l.Blobs {
		for _, i := range b.blocks {
			s.has[i] = s.has[i] || there[b.CID]
		}
	}
	return s
}

// Part counts what the share is.
func (s Share) Part() (p Part) {
	for i, has := range s.has {
		if has {
			p.Blocks++
			p.Bytes += s.list.blocks[i].size
		}
	}
	p.Blobs = len(s.list.Blobs) - len(s.Lacks())
	return p
}

// Lacks are the blobs of which the share does not have all.
func (s Share) Lacks() (blobs []digest.Digest) {
	for _, b := range s.list.Blobs {
		for _, i := range b.blocks {
			if !s.has[i] {
				blobs = append(blobs, b.Digest)
				break
			}
		}
	}
	return blobs
}

// IsWhole tells whether nothing is missing.
func (s Share) IsWhole() bool { return s.Part().Blocks == len(s.list.blocks) }

// With is what both have together.
func (s Share) With(other Share) Share {
	both := s.list.None()
	for i := range both.has {
		both.has[i] = s.has[i] || other.has[i]
	}
	return both
}

// RootInventory lists a root whose tree nobody gives.
func RootInventory(root cid.Cid) *Inventory {
	list := &Inventory{Root: root, at: map[string]int{}}
	list.add(root, 0)
	return list
}

// Sampled gives the files of the blobs of which somebody has as many as n blocks, spread
// evenly, the first and the last among them. The error is has's first.
func (l *Inventory) Sampled(ctx context.Context, n int, has func(context.Context, cid.Cid) (bool, error)) (files []cid.Cid, err error) {
	asked := map[cid.Cid]bool{}
	for _, b := range l.Blobs {
		for i := range min(n, len(b.blocks)) {
			asked[l.blocks[b.sample(i, n)].cid] = true
		}
	}
	s, err := l.Share(ctx, func(ctx context.Context, c cid.Cid) (bool, error) {
		if !asked[c] {
			return false, nil
		}
		return has(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	for _, b := range l.Blobs {
		there := true
		for i := range min(n, len(b.blocks)) {
			there = there && s.has[b.sample(i, n)]
		}
		if there {
			files = append(files, b.CID)
		}
	}
	return files, nil
}

// sample is the i-th of n blocks that are spread evenly.
func (b InventoryBlob) sample(i, n int) int {
	n = min(n, len(b.blocks))
	if n == 1 {
		return b.blocks[0]
	}
	return b.blocks[i*(len(b.blocks)-1)/(n-1)]
}

// Files are the CIDs of the blobs' files.
func (l *Inventory) Files() []cid.Cid {
	files := make([]cid.Cid, len(l.Blobs))
	for i, b := range l.Blobs {
		files[i] = b.CID
	}
	return files
}
