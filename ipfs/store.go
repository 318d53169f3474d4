// Package ipfs puts files and OCI image layouts on IPFS and reads them back.
//
// It knows UnixFS and nothing of where blocks are kept: that is an [Store],
// of which ipfs/packstore (embedded) and ipfs/kubo (a Kubo daemon) are two.
// Trees are built after the unixfs-v1-2025 profile (IPIP-499), so every store
// gives the same CID for the same bytes.
package ipfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/oci"
)

var (
	// ErrNotFound is matched by errors about blocks, paths and roots that the
	// source does not have. It is that of package oci, as is the next.
	ErrNotFound = oci.ErrNotFound
	// ErrCorrupt is matched by errors about bytes that are not what their
	// CID or digest says.
	ErrCorrupt = oci.ErrCorrupt
	// ErrUnavailable is matched by errors about a source that does not answer.
	ErrUnavailable = errors.New("IPFS unreachable")
	// ErrNobody is matched by errors about a source that asks others and has none to ask
	// now: where another source has answered that says nothing. It matches ErrUnavailable.
	ErrNobody = fmt.Errorf("%w: nobody to ask", ErrUnavailable)
)

// BlockError is why a place has no block to give.
type BlockError struct {
	CID   cid.Cid
	Place string // for humans: the name of a store
	Err   error
}

func (e *BlockError) Error() string { return fmt.Sprintf("block %s in %s: %v", e.CID, e.Place, e.Err) }

// Unwrap gives the reason.
func (e *BlockError) Unwrap() error { return e.Err }

// Getter reads single blocks. What it returns may be shared: callers must not
// change it. Errors match [ErrNotFound] or [ErrUnavailable].
type Getter interface {
	Get(ctx context.Context, c cid.Cid) ([]byte, error)
}

// Viewer is a [Getter] that can show a block without a copy of its own: data is
// valid until fn returns. Errors are those of Get, and fn's.
type Viewer interface {
	Getter
	View(ctx context.Context, c cid.Cid, fn func(data []byte) error) error
}

// Sender is a [Getter] that hands a block to a connection without reading it:
// where the system allows, it goes there from the page cache.
type Sender interface {
	Getter
	// Send gives w the bytes of a block behind the first skip: an
	// *io.LimitedReader over an *os.File, which net.TCPConn knows what to do
	// with. Errors are those of Get and of w.
	Send(ctx context.Context, c cid.Cid, skip int64, w io.ReaderFrom) (n int64, err error)
}

// Putter takes single blocks. It does not keep data after it has returned.
type Putter interface {
	Put(ctx context.Context, c cid.Cid, data []byte) error
}

// Store keeps published roots and their blocks.
type Store interface {
	Getter
	// String says for humans which store this is and where.
	String() string
	// Begin starts a publication. Its blocks are safe from garbage collection
	// until Commit or Abort, of which one must be called.
	Begin(ctx context.Context) (Tx, error)
	// Roots lists what was published, oldest first.
	Roots(ctx context.Context) ([]Root, error)
	// Remove ends the keeping of a root; its blocks go with the next garbage
	// collection. The error matches [ErrNotFound] when c is no kept root.
	Remove(ctx context.Context, c cid.Cid) error
	// Close releases what the store holds open.
	Close() error
}

// Tx is one publication under way. Its methods are not safe for concurrent
// use, but several transactions, also of several processes, may run at once.
type Tx interface {
	Putter
	// Branch opens a side store for blocks of which it is not yet known
	// whether they belong to the publication.
	Branch() (Branch, error)
	// Commit keeps the root with all blocks but those of dropped branches and
	// returns after they are safe on disk.
	Commit(ctx context.Context, root Root) (Stats, error)
	// Abort leaves the store as it was before Begin. After Commit it does nothing.
	Abort() error
}

// Branch is a part of a [Tx] that can be thrown away.
type Branch interface {
	Putter
	// Drop throws the branch away; without it Commit keeps the branch.
	Drop() error
}

// Root is one published layout.
type Root struct {
	CID       cid.Cid   `json:"cid"`
	Names     []string  `json:"names"`     // images inside, "repository:tag"; may be empty
	Published time.Time `json:"published"` // zero when the store does not know
	Size      int64     `json:"size"`      // bytes of all blobs; 0 when the store does not know
	// Pushed tells that it came of pushes alone, whose registry may take it away again;
	// publishing it ends that for good.
	Pushed bool `json:"pushed,omitempty"`
	// Pinned tells that somebody has it kept by command, whatever it is called: it goes by
	// command alone. Not all stores know.
	Pinned bool `json:"pinned,omitempty"`
}

// Stats tells what a Commit added to the store. A store that cannot know it
// at a reasonable price (Kubo, unless it is asked to) says -1 for both.
type Stats struct {
	NewBlocks int   `json:"newBlocks"` // blocks that were not there before; -1 for unknown
	NewBytes  int64 `json:"newBytes"`  // their bytes; -1 for unknown

	HealedBlocks int `json:"healedBlocks,omitempty"` // that were damaged in the store and that the publication put right
}

// Verified checks each block that g returns against its CID. Errors match
// [ErrCorrupt] and name the block.
func Verified(g Getter) Getter { return verified{g} }

type verified struct{ Getter }

func (v verified) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := v.Getter.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	if IsChecked(v.Getter, c) {
		return data, nil
	}
	return data, VerifyBlock(c, data)
}

// Checked is a [Getter] that knows which blocks this process has compared with their
// CIDs already, when it stored them or read them before.
type Checked interface {
	Getter
	Checked(c cid.Cid) bool
}

// IsChecked tells whether nobody has to compare a block of g with its CID again.
func IsChecked(g Getter, c cid.Cid) bool {
	known, ok := g.(Checked)
	return ok && known.Checked(c)
}

// VerifyBlock checks data against its CID. The error matches [ErrCorrupt].
func VerifyBlock(c cid.Cid, data []byte) error {
	got, err := c.Prefix().Sum(data)
	if err != nil {
		return fmt.Errorf("hashing block %s: %w", c, err)
	}
	if !got.Equals(c) {
		return fmt.Errorf("%w: block %s has the content of %s (%d bytes)", ErrCorrupt, c, got, len(data))
	}
	return nil
}
