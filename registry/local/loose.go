package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// Loose lists the manifests that no root has, the newest last. Beside an error that
// matches [ipfs.ErrCorrupt], which is about records, the others are given.
func (s Stores) Loose(ctx context.Context) (all []Kept, err error) {
	for _, store := range s {
		r, ok := store.(ipfs.Recorder)
		if !ok {
			continue
		}
		found, failed := pushed.New(r, pushed.Options{}).Loose(ctx)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("listing what was pushed to the %s by digest: %w", store, failed))
		}
		if IsFatal(failed) {
			return nil, err
		}
		for _, l := range found {
			all = append(all, Kept{Root: ipfs.Root{CID: l.Hold, Names: []string{}, Published: l.Pushed, Size: l.Size, Pushed: true}, Store: store, Loose: &l})
		}
	}
	slices.SortStableFunc(all, func(a, b Kept) int { return a.Published.Compare(b.Published) })
	return all, err
}

// FindLoose finds a manifest that no root has by its "repository@digest". The error matches
// [ipfs.ErrNotFound] when there is none, and [pushed.ErrNeeded] for one that goes with
// another, or has a tag.
func (s Stores) FindLoose(ctx context.Context, arg string) (Match, error) {
	all, err := s.Loose(ctx)
	i := slices.IndexFunc(all, func(k Kept) bool { return k.Loose.String() == arg })
	switch {
	case i < 0 && err != nil:
		return Match{}, err // it may be one of those of which it is not known
	case i < 0:
		return Match{}, fmt.Errorf("%w: %q is no manifest that was pushed by digest alone", ipfs.ErrNotFound, arg)
	case all[i].Loose.Needed:
		return Match{}, fmt.Errorf("%s stays: %w, or it has a tag: it goes with what it refers to", arg, pushed.ErrNeeded)
	}
	return Match{Kept: all[i]}, nil
}

// everything is what has blocks kept: roots, the newest last, and then loose manifests.
func (s Stores) everything(ctx context.Context) ([]Kept, error) {
	kept, err := s.byAge(ctx)
	if IsFatal(err) {
		return nil, err
	}
	loose, failed := s.Loose(ctx)
	if IsFatal(failed) {
		return nil, failed
	}
	if err == nil { // else it is the same
		err = failed
	}
	return append(kept, loose...), err
}

// Take ends the keeping of what [Stores.Retain] lets go: of a root as [Stores.Remove]
// does. A manifest that something needs by now stays.
func (s Stores) Take(ctx context.Context, k Kept) error {
	r, ok := k.Store.(ipfs.Recorder)
	if k.Loose == nil || !ok {
		return s.Remove(ctx, k.CID)
	}
	if _, err := pushed.New(r, pushed.Options{}).DiscardLoose(ctx, *k.Loose); err != nil {
		return fmt.Errorf("removing %s from the %s: %w", k.Loose, k.Store, err)
	}
	return nil
}

// isAwaited tells whether an index that lists a loose manifest may be to come still.
func isAwaited(l *pushed.Loose, now time.Time) bool { return l.Pushed.After(now.Add(-pushed.Alone)) }
