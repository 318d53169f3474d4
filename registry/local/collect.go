package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// Collected is a store that a [Collector] keeps small.
type Collected interface {
	ipfs.Recorder
	// Collect frees the space of what nobody keeps, and tells how many bytes that were.
	Collect(ctx context.Context) (freed int64, err error)
	// DiskUsage and CacheSize are how many bytes it has on disk, without and in its
	// cache of what came from others.
	DiskUsage() (int64, error)
	CacheSize() (int64, error)
	// ShrinkCache removes of the cache what was not read since a time, and what was
	// not read for longest until at most max bytes are left.
	ShrinkCache(ctx context.Context, max int64, since time.Time) (freed int64, err error)
	// LastUse is when a root was last pulled; zero when that is not known.
	LastUse(c cid.Cid) time.Time
}

// CollectorOptions say what a [Collector] does.
type CollectorOptions struct {
	// Next is when the next collection is due after a time.
	Next func(after time.Time) time.Time
	// Unused is for how long an image that no local name is, and that came of pushes
	// alone, may stay without being pulled, and a part of the cache without being read;
	// 0 for ever; so with a manifest that no image has.
	Unused time.Duration
	// Limit is how many bytes the store and its cache may take; 0 for any number. First
	// the cache goes, then such images, those first that were not used for longest.
	Limit int64
	// Meant gives the roots that names mean which move and whose keys are here: they
	// stay. Nil for none.
	Meant func() (Meant, error)
	// Logger takes what was done; nil for nothing.
	Logger *slog.Logger
}

// Schedule is when something is due again and again; the zero value says never.
type Schedule struct {
	Every time.Duration // so long after the last time
	Daily bool          // or once a day, at At
	At    time.Duration // on the clock since midnight, in whole minutes
}

// Next is when it is due after a time: of a time of the day that the clock has twice,
// or skips, as [time.Date] has it.
func (s Schedule) Next(after time.Time) time.Time {
	if s.Every > 0 {
		return after.Add(s.Every)
	}
	on := func(day int) time.Time {
		return time.Date(after.Year(), after.Month(), day, int(s.At/time.Hour), int(s.At%time.Hour/time.Minute), 0, 0, after.Location())
	}
	if due := on(after.Day()); due.After(after) {
		return due
	}
	return on(after.Day() + 1)
}

// Meant are names that move, by the root that each means ([cid.Cid.KeyString]).
type Meant map[string]string

// Collection is what one collection did.
type Collection struct {
	Removed []ipfs.Root    // images that were taken away
	Loose   []pushed.Loose // manifests that no image had, and that were taken away
	Freed   int64          // bytes on disk, those of the cache among them
	Cache   int64          // bytes of the cache
	Over    int64          // bytes by which the store is over its limit still
}

// CollectorStats are what was collected so far, for metrics.
type CollectorStats struct {
	Runs, Failures, Removed, Freed int64     // Removed counts images, and manifests that none has
	Last                           time.Time // when the last collection ended well; zero for never
	Over                           int64     // bytes over the limit
}

// Collector frees a store, on a schedule, of what nobody needs: never of what has a local
// name or one that moves, or was published or pinned by command.
type Collector struct {
	store Collected
	o     CollectorOptions
	now   func() time.Time

	mu    sync.Mutex
	stats CollectorStats
}

// NewCollector gives one for a store.
func NewCollector(store Collected, o CollectorOptions) *Collector {
	o.Logger = silent.Logger(o.Logger)
	return &Collector{store: store, o: o, now: time.Now}
}

// Stats tells what was collected so far.
func (c *Collector) Stats() CollectorStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Run collects on the schedule until ctx is done. What fails is logged, and tried again
// when it is due.
func (c *Collector) Run(ctx context.Context) {
	for {
		timer := time.NewTimer(time.Until(c.o.Next(c.now())))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		done, err := c.Collect(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.o.Logger.Error("what nobody needs could not be freed", "error", err)
		default:
			c.o.Logger.Info("freed what nobody needs", "bytes", done.Freed, "cache", done.Cache, "images", len(done.Removed), "manifests", len(done.Loose))
		}
		if done.Over > 0 {
			c.o.Logger.Warn("the store is larger than its limit, and what is left is named, pinned, was pushed in the last 24 hours, or gives its space to a later collection: image2ipfs du tells what takes how much, rm takes images away", "over", done.Over, "limit", c.o.Limit)
		}
	}
}

// Collect does it once. Errors are those of the store; what was done before stays done.
func (c *Collector) Collect(ctx context.Context) (done Collection, err error) {
	err = c.collect(ctx, &done)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Runs++
	c.stats.Removed += int64(len(done.Removed) + len(done.Loose))
	c.stats.Freed += done.Freed
	c.stats.Over = done.Over
	if err == nil {
		c.stats.Last = c.now()
	} else {
		c.stats.Failures++
	}
	return done, err
}

func (c *Collector) collect(ctx context.Context, done *Collection) error {
	if c.o.Unused > 0 {
		before := c.now().Add(-c.o.Unused)
		spares, err := c.spares(ctx)
		if err != nil {
			return err
		}
		for _, s := range spares {
			if s.used.Before(before) {
				if err := c.discard(ctx, s, done); err != nil {
					return err
				}
			}
		}
		if err := c.shrink(ctx, math.MaxInt64, before, done); err != nil {
			return err
		}
	}
	if err := c.free(ctx, done); err != nil || c.o.Limit == 0 {
		return err
	}
	return c.limit(ctx, done)
}

// spare is what may go, and when it was last of use.
type spare struct {
	Kept
	used time.Time
}

// spares are the roots and loose manifests of the store that may go, the one that was not
// used for longest first.
func (c *Collector) spares(ctx context.Context) (all []spare, err error) {
	found, err := pushed.New(c.store, pushed.Options{}).Spares(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding images that no name is: %w", err)
	}
	meant, err := c.meant()
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		if meant[s.CID.KeyString()] == "" {
			all = append(all, spare{Kept{Root: s.Root, Store: c.store}, c.lastUse(s.Since, s.CID)})
		}
	}
	loose, err := Stores{c.store}.Loose(ctx)
	if IsFatal(err) {
		return nil, err
	}
	if err != nil {
		c.o.Logger.Warn("what was pushed by digest stays, as far as it is not known what needs it", "error", err)
	}
	for _, k := range loose {
		if !k.Loose.Needed && !isAwaited(k.Loose, c.now()) {
			all = append(all, spare{k, c.lastUse(k.Published, k.Loose.Holds...)})
		}
	}
	slices.SortStableFunc(all, func(a, b spare) int { return cmp.Or(a.used.Compare(b.used), a.Published.Compare(b.Published)) })
	return all, nil
}

// lastUse is when any of these was last pulled, or since when that counts.
func (c *Collector) lastUse(since time.Time, of ...cid.Cid) time.Time {
	for _, one := range of {
		if used := c.store.LastUse(one); used.After(since) {
			since = used
		}
	}
	return since
}

// meant are the names that move, as of now.
func (c *Collector) meant() (Meant, error) {
	if c.o.Meant == nil {
		return nil, nil
	}
	meant, err := c.o.Meant()
	if err != nil {
		return nil, fmt.Errorf("finding what names that move mean: %w", err)
	}
	return meant, nil
}

// discard takes an image away, unless somebody needs it by now.
func (c *Collector) discard(ctx context.Context, s spare, done *Collection) error {
	if s.Loose != nil {
		return c.discardLoose(ctx, s, done)
	}
	// A name may have moved since the spares were listed, or move now.
	gone, err := pushed.New(c.store, pushed.Options{Meant: func() (map[string]string, error) { return c.meant() }}).Discard(ctx, s.CID)
	if errors.Is(err, oci.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("taking %s away, which was not used since %s: %w", ref.Ciq(s.CID), s.used.Format(time.RFC3339), err)
	}
	if gone {
		c.o.Logger.Info("gone, since no name is it and nobody needed it", "root", ref.Ciq(s.CID), "names", s.Names, "used", s.used)
		done.Removed = append(done.Removed, s.Root)
	}
	return nil
}

// discardLoose takes a manifest away that no image has, unless one has it by now.
func (c *Collector) discardLoose(ctx context.Context, s spare, done *Collection) error {
	gone, err := pushed.New(c.store, pushed.Options{}).DiscardLoose(ctx, *s.Loose)
	if err != nil {
		return fmt.Errorf("taking %s away, which was not used since %s: %w", s.Loose, s.used.Format(time.RFC3339), err)
	}
	if gone {
		c.o.Logger.Info("gone, since no image has it and nobody needed it", "manifest", s.Loose.String(), "used", s.used)
		done.Loose = append(done.Loose, *s.Loose)
	}
	return nil
}

func (c *Collector) free(ctx context.Context, done *Collection) error {
	freed, err := c.store.Collect(ctx)
	done.Freed += freed
	return err
}

func (c *Collector) shrink(ctx context.Context, max int64, since time.Time, done *Collection) error {
	freed, err := c.store.ShrinkCache(ctx, max, since)
	done.Cache += freed
	done.Freed += freed
	return err
}
