package page

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// sharing is what an image has in common with others.
type sharing struct {
	Shares   []share
	Others   int    // how many other images there are
	Compared int    // with how many of these it was compared
	Why      string // why with no more
}

// More is with how many it was not compared.
func (s *sharing) More() int { return s.Others - s.Compared }

// share is what an image has in common with another.
type share struct {
	Root   string
	Names  []string
	More   int   // names that are not listed
	Shared int64 // bytes of blocks that both have
	Moves  int64 // bytes that an update from the other to this one moves
}

const (
	maxCompared   = 200             // others that an image is compared with
	comparing     = 5 * time.Second // for which that is done
	comparers     = 2               // for whom at once
	comparingCost = 2 << 20         // bytes that listing the blocks of one takes
)

const (
	// maxShareBytes is what is kept of the blocks of roots that were compared, shareCost
	// what one takes, maxShareBlocks how many of one root are looked at.
	maxShareBytes  = 64 << 20
	shareCost      = 128
	maxShareBlocks = maxShareBytes / 4 / shareCost
)

// errManyBlocks is about a root that is not compared.
var errManyBlocks = fmt.Errorf("it has more than %d blocks", maxShareBlocks)

// blocks are the sizes of a root's blocks by multihash, listed once for all who ask at the
// same time.
func (p *Page) blocks(ctx context.Context, root cid.Cid) (map[string]int64, error) {
	if known, ok := p.shares.Get(root); ok {
		return known, nil
	}
	return p.listing.do(ctx, root, func() (map[string]int64, error) {
		if known, ok := p.shares.Get(root); ok {
			return known, nil
		}
		release, err := p.cfg.Memory.Looking.Take(ctx, comparingCost)
		if err != nil {
			return nil, err
		}
		defer release()
		found := map[string]int64{}
		err = ipfs.Blocks(ctx, p.cfg.Local, root, 0, func(c cid.Cid, size int64) bool {
			found[string(c.Hash())] = size
			return len(found) <= maxShareBlocks
		})
		if err == nil && len(found) > maxShareBlocks {
			err = errManyBlocks
		}
		if err != nil {
			return nil, err
		}
		p.shares.Put(root, found, int64(len(found))*shareCost)
		return found, nil
	})
}

// whyNot says for humans why the blocks of a root were not listed.
func whyNot(err error) string {
	switch {
	case errors.Is(err, errManyBlocks):
		return err.Error()
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, budget.ErrFull):
		return fmt.Sprintf("its blocks could not be listed within %s", comparing)
	case settled(err):
		return "it is damaged, or not whole"
	}
	return "the server is busy, or its store cannot be read at the moment"
}

// compare compares a root with the others, the newest first, as far as time allows.
// Those that cannot be read are left out.
func (p *Page) compare(ctx context.Context, root ipfs.Root, kept []ipfs.Root) *sharing {
	s := &sharing{Others: len(kept) - 1}
	if s.Others == 0 {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, comparing)
	defer cancel()
	select {
	case p.comparing <- struct{}{}:
		defer func() { <-p.comparing }()
	case <-ctx.Done():
		s.Why = whyNot(budget.ErrFull)
		return s
	}
	mine, err := p.blocks(ctx, root.CID)
	if err != nil {
		s.Why = whyNot(err)
		return s
	}
	left := map[string]int{}
	s.with(ctx, mine, root, kept, func(other cid.Cid) (map[string]int64, error) {
		theirs, err := p.blocks(ctx, other)
		if err != nil {
			left[whyNot(err)]++
		}
		return theirs, err
	})
	if s.More() == 0 {
		return s
	}
	var why []string
	for reason, n := range left {
		why = append(why, fmt.Sprintf("of %d: %s", n, reason))
	}
	slices.Sort(why)
	switch {
	case s.Compared >= maxCompared:
		why = append(why, fmt.Sprintf("the newest %d are compared", maxCompared))
	case ctx.Err() != nil:
		why = append(why, fmt.Sprintf("it took longer than %s", comparing))
	}
	s.Why = strings.Join(why, "; ")
	return s
}

// with compares a root with each of the others whose blocks are listed.
func (s *sharing) with(ctx context.Context, mine map[string]int64, root ipfs.Root, kept []ipfs.Root, list func(cid.Cid) (map[string]int64, error)) {
	var total int64
	for _, size := range mine {
		total += size
	}
	for _, other := range slices.Backward(kept) {
		if other.CID.Equals(root.CID) {
			continue
		}
		if s.Compared >= maxCompared || ctx.Err() != nil {
			break
		}
		theirs, err := list(other.CID)
		if err != nil {
			continue
		}
		s.Compared++
		found := share{Root: ref.Ciq(other.CID)}
		found.Names, found.More = some(other.Names)
		for key := range theirs {
			found.Shared += mine[key]
		}
		found.Moves = total - found.Shared
		if found.Shared > trifle {
			s.Shares = append(s.Shares, found)
		}
	}
	slices.SortStableFunc(s.Shares, func(a, b share) int { return cmp.Compare(b.Shared, a.Shared) })
}

// trifle is what any two layouts have in common, in bytes: the oci-layout file.
const trifle = 64
