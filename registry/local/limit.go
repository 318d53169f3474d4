package local

import (
	"context"
	"slices"
	"time"
)

// limit makes the store as small as it may be. What is taken away need not be free at
// once: packs that are nearly whole stay as they are, and a full disk has no room to
// rewrite others. No more images go for that.
func (c *Collector) limit(ctx context.Context, done *Collection) error {
	dropped := int64(0) // bytes of what was taken away and is not free yet
	for {
		size, err := c.store.DiskUsage()
		if err != nil {
			return err
		}
		cache, err := c.store.CacheSize()
		if err != nil {
			return err
		}
		if size+cache > c.o.Limit && cache > 0 {
			if err := c.shrink(ctx, max(c.o.Limit-size, 0), time.Time{}, done); err != nil {
				return err
			}
			if cache, err = c.store.CacheSize(); err != nil {
				return err
			}
		}
		if done.Over = max(size+cache-c.o.Limit, 0); size-dropped <= c.o.Limit {
			return nil
		}
		some, bytes, err := c.evict(ctx, size-dropped-c.o.Limit, done)
		if err != nil || !some {
			return err
		}
		before := done.Freed
		if err := c.free(ctx, done); err != nil || done.Freed <= before {
			return err
		}
		dropped += max(bytes-(done.Freed-before), 0)
	}
}

// evict takes images away until nobody needs that many bytes, and tells whether there were
// some, and how many bytes nobody needs for it.
func (c *Collector) evict(ctx context.Context, want int64, done *Collection) (some bool, bytes int64, err error) {
	spares, err := c.spares(ctx)
	if err != nil {
		return false, 0, err
	}
	counted, damaged := Stores{c.store}.references(ctx)
	if counted == nil {
		return false, 0, damaged
	}
	if damaged != nil {
		c.o.Logger.Warn("what taking images away frees is not known for sure", "error", damaged)
	}
	for _, s := range counted.least(ctx, spares, want) {
		before := len(done.Removed) + len(done.Loose)
		if err := c.discard(ctx, s.spare, done); err != nil {
			return some, bytes, err
		}
		if len(done.Removed)+len(done.Loose) > before {
			some = true
			bytes += s.frees
		}
	}
	return some, bytes, nil
}

// freeing is what is to go, and how many bytes nobody has then any more, when those before
// it are gone.
type freeing struct {
	spare
	frees int64
}

// least are the first of some by whose going nobody has that many bytes any more, without
// those that are not needed for that, of them the last first. All are dropped.
func (r *references) least(ctx context.Context, of []spare, want int64) (going []freeing) {
	sum := int64(0)
	for _, s := range of {
		if sum >= want {
			break
		}
		frees := r.drop(ctx, s.Kept)
		sum += frees
		going = append(going, freeing{s, frees})
	}
	var chosen []spare
	for _, f := range slices.Backward(going) {
		back, _ := r.add(ctx, f.Kept)
		if back == 0 || sum-back >= want {
			sum -= back
			continue
		}
		r.drop(ctx, f.Kept)
		chosen = append(chosen, f.spare)
	}
	slices.Reverse(chosen)
	for _, s := range chosen { // as they follow each other without those that stay
		_, _ = r.add(ctx, s.Kept)
	}
	going = going[:0]
	for _, s := range chosen {
		going = append(going, freeing{s, r.drop(ctx, s.Kept)})
	}
	return going
}
