package ipfs

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ipfs/go-cid"
)

// Recorder is a [Store] that keeps, beside what is published, what somebody has
// made records of: a registry that is pushed to, its blobs, manifests and tags.
type Recorder interface {
	Store
	// BeginRecords is Begin for a transaction that may end with records.
	BeginRecords(ctx context.Context) (RecordTx, error)
	// Record reads one; the error matches [ErrNotFound] when there is none, or
	// its time is over.
	Record(ctx context.Context, k Key) (Record, error)
	// Records lists those of a kind in a space, in the order of their names; a
	// damaged one is an error that matches [ErrCorrupt].
	Records(ctx context.Context, kind, space string) ([]Record, error)
	// Spaces lists the spaces in which there are records of a kind, sorted.
	Spaces(ctx context.Context, kind string) ([]string, error)
	// Forget removes records; those that are not there do not matter. What they
	// kept goes with the next garbage collection.
	Forget(ctx context.Context, keys ...Key) error
	// Revise has fn change records that are there, or with false forget them, at a time
	// when nobody else commits or forgets: what they name stays what it is. Those that are
	// over or damaged are forgotten.
	Revise(ctx context.Context, keys []Key, fn func(Record) (Record, bool)) error
	// RemoveIf is Remove of a root of which may says that it may go, at a time when nobody
	// commits. It is given what is recorded of the root by then, of a damaged record the
	// CID alone, and may read roots and records.
	RemoveIf(ctx context.Context, root cid.Cid, may func(Root) (bool, error)) (gone bool, err error)
	// LockSpace is for who reads records of a space to change them: nobody else has
	// it, in this process or another, until unlock.
	LockSpace(ctx context.Context, space string) (unlock func() error, err error)
}

// RecordTx is a [Tx] that may end with records.
type RecordTx interface {
	Tx
	// CommitRecords is Commit that keeps records, in their order, after the roots,
	// of which there may be none. What they name must be in the store or the
	// transaction. All is safe on disk when it returns; cut off in between, it leaves
	// the first of them.
	CommitRecords(ctx context.Context, roots []Root, records ...Record) (Stats, error)
	// CommitRevised is CommitRecords that asks revise what is to be kept in place of each
	// record that is there and not over, at a time when nobody else commits or forgets. Of
	// a damaged one was has the key alone. What records name stays what it is.
	CommitRevised(ctx context.Context, revise func(is, was Record) Record, roots []Root, records ...Record) (Stats, error)
}

// Checker is a [Tx] that tells whether a file can be relied on.
type Checker interface {
	// Whole tells whether all blocks of the file under c are in the store and right:
	// they are hashed where nobody has since they were written.
	Whole(ctx context.Context, c cid.Cid) bool
}

// Key names a record.
type Key struct {
	Kind  string `json:"kind"`  // what it is of, a word of lower-case letters
	Space string `json:"space"` // whose it is, such as the name of a repository
	Name  string `json:"name"`
}

// Record keeps what is below a CID.
type Record struct {
	Key
	CID   cid.Cid         `json:"cid"`
	Until time.Time       `json:"until,omitzero"` // when it ends; zero for never
	Value json.RawMessage `json:"value,omitempty"`
}
