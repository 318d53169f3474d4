package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Usage is what one root takes of the stores.
type Usage struct {
	Kept
	Bytes int64 // of all its blocks, each once
	Alone int64 // of those that no other root has
	Err   error // why the rest could not be read; nil when all was
}

// Shared is how many bytes a root has in common with others.
func (u Usage) Shared() int64 { return u.Bytes - u.Alone }

// blockKey is the same for all CIDs of the same bytes.
func blockKey(c cid.Cid) string { return string(c.Hash()) }

// use is who has a block: by the number of a root, or several.
type use struct {
	first, last int32 // first is several when others have it as well
	size        int64
}

const several = -1

// Usage tells how the bytes of what the stores keep divide, the newest root last, then
// manifests that no root has, and how many they are, each block once. Nodes are read, and
// no contents. A root that cannot be read as a whole counts as far as it can, one that is
// removed meanwhile has no row; errors are those of [Stores.Roots] and [Stores.Loose].
func (s Stores) Usage(ctx context.Context) (all []Usage, total int64, err error) {
	kept, damaged := s.everything(ctx)
	if IsFatal(damaged) {
		return nil, 0, damaged
	}
	blocks := map[string]use{}
	all = make([]Usage, len(kept))
	failures := 0
	for i, k := range kept {
		u := &all[i]
		u.Kept = k
		me := int32(i)
		u.Err = ipfs.Blocks(ctx, k.Store, k.CID, 0, func(c cid.Cid, size int64) bool {
			b, known := blocks[blockKey(c)]
			switch {
			case !known:
				b = use{first: me, size: size}
				total += size
				u.Alone += size
			case b.last == me: // as a leaf and as a node
				return true
			case b.first != several:
				all[b.first].Alone -= b.size
				b.first = several
			}
			b.last = me
			blocks[blockKey(c)] = b
			u.Bytes += size
			return true
		})
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if u.Err != nil {
			failures++
			u.Err = fmt.Errorf("reading what %s has: %w", cmp.Or(k.looseText(), k.CID.String()), u.Err)
		}
	}
	there, failed := s.stillThere(ctx, failures)
	all = slices.DeleteFunc(all, func(u Usage) bool { return u.Err != nil && failed == nil && !there[keptKey(u.Kept)] })
	return all, total, damaged
}

// Frees is how many bytes of blocks nobody has any more with each of these, when those
// before it are gone. What cannot be read counts neither as needed nor as freed: beside an
// error about that, which matches [ipfs.ErrCorrupt] or is of the stores, bytes are given,
// which may be too many or too few. Without bytes the stores cannot be listed.
func (s Stores) Frees(ctx context.Context, going ...Kept) (bytes []int64, err error) {
	r, err := s.references(ctx)
	if r == nil {
		return nil, err
	}
	bytes = make([]int64, len(going))
	for i, k := range going {
		bytes[i] = r.drop(ctx, k)
	}
	return bytes, errors.Join(err, ctx.Err())
}

// references count how many roots and loose manifests have each block.
type references struct {
	kept  map[string]Kept  // by keptKey
	count map[string]int32 // by blockKey
}

// keptKey names what has blocks kept.
func keptKey(k Kept) string {
	if k.Loose != nil {
		return k.Loose.String()
	}
	return blockKey(k.CID)
}

// references counts those of all that the stores keep; nil when they cannot be listed.
// Another error is about what cannot be read, and counts as far as it can.
func (s Stores) references(ctx context.Context) (*references, error) {
	kept, err := s.everything(ctx)
	if IsFatal(err) {
		return nil, err
	}
	r := &references{kept: map[string]Kept{}, count: map[string]int32{}}
	failures := map[string]error{} // by keptKey
	for _, k := range kept {
		if _, failed := r.add(ctx, k); failed != nil {
			failures[keptKey(k)] = fmt.Errorf("reading what %s has: %w", cmp.Or(k.looseText(), ref.Ciq(k.CID)), failed)
		}
	}
	there, failed := s.stillThere(ctx, len(failures))
	for _, k := range kept {
		switch key := keptKey(k); {
		case failures[key] == nil:
		case failed != nil || there[key]:
			err = errors.Join(err, failures[key])
		default:
			delete(r.kept, key)
		}
	}
	return r, err
}

// stillThere tells by keptKey what the stores keep now, unless nothing failed: what was
// removed after it was listed cannot be read, and is no fault.
func (s Stores) stillThere(ctx context.Context, failures int) (map[string]bool, error) {
	if failures == 0 {
		return nil, nil
	}
	kept, err := s.everything(ctx)
	if IsFatal(err) {
		return nil, err
	}
	there := map[string]bool{}
	for _, k := range kept {
		there[keptKey(k)] = true
	}
	return there, nil
}

// looseText names a manifest that no root has; "" for a root.
func (k Kept) looseText() string {
	if k.Loose == nil {
		return ""
	}
	return k.Loose.String()
}

// add counts one in, and tells how many bytes nobody had before.
func (r *references) add(ctx context.Context, k Kept) (bytes int64, err error) {
	if _, had := r.kept[keptKey(k)]; had {
		return 0, nil
	}
	r.kept[keptKey(k)] = k
	err = eachBlock(ctx, k, func(key string, size int64) {
		if r.count[key]++; r.count[key] == 1 {
			bytes += size
		}
	})
	return bytes, err
}

// drop takes one out, and tells how many bytes nobody has any more.
func (r *references) drop(ctx context.Context, k Kept) (bytes int64) {
	k, kept := r.kept[keptKey(k)]
	if !kept {
		return 0
	}
	delete(r.kept, keptKey(k))
	_ = eachBlock(ctx, k, func(key string, size int64) { // what could not be read was told
		if r.count[key]--; r.count[key] == 0 {
			bytes += size
		}
	})
	return bytes
}

// eachBlock calls fn once for the bytes of each block below a root, as far as it can be
// read.
func eachBlock(ctx context.Context, k Kept, fn func(key string, size int64)) error {
	seen := map[string]bool{} // the same bytes may be a leaf here and a node there
	return ipfs.Blocks(ctx, k.Store, k.CID, 0, func(c cid.Cid, size int64) bool {
		if key := blockKey(c); !seen[key] {
			seen[key] = true
			fn(key, size)
		}
		return true
	})
}
