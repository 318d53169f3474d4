package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Mender puts right blocks into a store in place of damaged or missing ones. Its
// Close makes them durable.
type Mender interface {
	ipfs.Putter
	io.Closer
}

// Healer reads from a store and puts blocks right that are damaged or missing
// there, when another source has them. It is an [ipfs.Getter], safe for concurrent
// use, and must be closed.
type Healer struct {
	stored ipfs.Getter // the store, its blocks hashed
	mender Mender
	others *Set
	tell   func(c cid.Cid)

	mu     sync.Mutex // of what follows, and of mender
	healed map[cid.Cid]bool
}

// NewHealer makes a Healer of a store, which mender mends with blocks of others. It
// takes over both of these. tell is told once of each block that was healed, of
// one at a time.
func NewHealer(stored ipfs.Getter, mender Mender, others *Set, tell func(c cid.Cid)) *Healer {
	return &Healer{stored: ipfs.Verified(stored), mender: mender, others: others, tell: tell, healed: map[cid.Cid]bool{}}
}

// HealerOf is [NewHealer] of a mender that is begun where there are others to mend from;
// nil without them, and where mend finds that the store is not to have the blocks: its error
// then matches [ipfs.ErrNotFound].
func HealerOf(stored ipfs.Getter, mend func() (Mender, error), others *Set, tell func(c cid.Cid)) (*Healer, error) {
	if len(others.Sources()) == 0 {
		return nil, others.Close()
	}
	mender, err := mend()
	switch {
	case errors.Is(err, ipfs.ErrNotFound):
		return nil, others.Close()
	case err != nil:
		return nil, errors.Join(err, others.Close())
	}
	return NewHealer(stored, mender, others, tell), nil
}

// Close makes durable what was healed.
func (h *Healer) Close() error { return errors.Join(h.mender.Close(), h.others.Close()) }

// Get gives a block that is right. Errors are those of the store; they say as
// well why a fault could not be healed.
func (h *Healer) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, fault := h.stored.Get(ctx, c)
	if !errors.Is(fault, ipfs.ErrCorrupt) && !errors.Is(fault, ipfs.ErrNotFound) {
		return data, fault
	}
	data, err := h.others.Get(ctx, c)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		err = h.mender.Put(ctx, c, data)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; it was not healed: %v", fault, err)
	}
	if !h.healed[c] { // else two readers have found it
		h.healed[c] = true
		h.tell(c)
	}
	return data, nil
}
