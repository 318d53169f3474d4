// Package local knows the images that the stores of this machine keep: it finds
// them by the names that people type, lists and removes them.
package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// Stores are all that keep images, the one to publish on first.
type Stores []ipfs.Store

// Close closes all stores.
func (s Stores) Close() error {
	var errs []error
	for _, store := range s {
		errs = append(errs, store.Close())
	}
	return errors.Join(errs...)
}

// Getter reads from all stores, in order.
func (s Stores) Getter() ipfs.Getter {
	var getters []ipfs.Getter
	for _, store := range s {
		getters = append(getters, store)
	}
	return ipfs.First(getters...)
}

// Kept is a published root and the store that keeps it.
type Kept struct {
	ipfs.Root
	Store ipfs.Store
	Loose *pushed.Loose // of a manifest that no root has, whose hold is in place of that; else nil
}

// Roots lists what the stores keep, in the order of the stores. Beside an error
// that matches [ipfs.ErrCorrupt], which is about damaged records, the others are
// given.
func (s Stores) Roots(ctx context.Context) (all []Kept, err error) {
	for _, store := range s {
		roots, failed := store.Roots(ctx)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("listing what the %s keeps: %w", store, failed))
		}
		if IsFatal(failed) {
			return nil, err
		}
		for _, r := range roots {
			all = append(all, Kept{Root: r, Store: store})
		}
	}
	return all, err
}

// IsFatal tells whether an error of [Stores.Roots] leaves nothing to go on with.
func IsFatal(err error) bool { return err != nil && !errors.Is(err, ipfs.ErrCorrupt) }

// CIDs lists what the stores keep. One that does not answer does not hide what
// another keeps; records that cannot be read are told with [ipfs.ErrCorrupt].
func (s Stores) CIDs(ctx context.Context) ([]cid.Cid, error) {
	var all []cid.Cid
	var errs []error
	for _, store := range s {
		roots, err := store.Roots(ctx)
		errs = append(errs, err)
		for _, r := range roots {
			all = append(all, r.CID)
		}
	}
	return all, errors.Join(errs...)
}

// Total sums up what the stores keep: how many roots, and the bytes of their blobs.
// Damaged records are left out.
func (s Stores) Total(ctx context.Context) (roots int, bytes int64, err error) {
	all, err := s.Roots(ctx)
	if IsFatal(err) {
		return 0, 0, err
	}
	for _, r := range all {
		bytes += r.Size
	}
	return len(all), bytes, nil
}

// Layout opens the layout under a name, from any of the stores. The error matches
// [ipfs.ErrNotFound] when none has it.
func (s Stores) Layout(ctx context.Context, name ref.Name) (*layout.Layout, error) {
	l, err := layout.Open(ctx, ipfs.Verified(s.Getter()), name.Root)
	if errors.Is(err, ipfs.ErrNotFound) {
		err = fmt.Errorf("%s is not here (image2ipfs ls lists what is): %w", ref.Ciq(name.Root), err)
	}
	return l, err
}

// Check asks the layout under a name whether repository, tag and digest in that mean
// something in it. Of a layout that no store has, or that cannot be read, nothing is
// known and nothing refused. Errors are those of [layout.Layout.Check].
func (s Stores) Check(ctx context.Context, name ref.Name) error {
	if name.Plain() {
		return nil
	}
	l, err := s.Layout(ctx, name)
	if err != nil {
		return ctx.Err()
	}
	return l.Check(ctx, name)
}

// Doomed lists the images that go when the root of a name is removed, as far as the
// layout can be read: nothing keeps a broken image from going. A digest, tag or
// repository in the name must be of the layout; errors are those of
// [layout.Layout.Check].
func (s Stores) Doomed(ctx context.Context, name ref.Name) (names []string, err error) {
	l, err := s.Layout(ctx, name)
	if err != nil && name.Digest != "" {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	if err := l.Check(ctx, name); err != nil {
		return nil, err
	}
	lines, err := l.Lines(ctx)
	if err != nil {
		return nil, nil
	}
	for _, line := range lines {
		if line.Name != "" {
			names = append(names, line.Name)
		}
	}
	return names, nil
}

// Remove ends the keeping of a root, wherever it is kept, and takes what it holds out of
// the repositories that it was pushed to, with the tags that are it. The error matches
// [ipfs.ErrNotFound] when no store keeps it.
func (s Stores) Remove(ctx context.Context, root cid.Cid) error {
	removed := false
	for _, store := range s {
		remove := store.Remove
		if r, ok := store.(ipfs.Recorder); ok {
			remove = pushed.New(r, pushed.Options{}).Remove
		}
		err := remove(ctx, root)
		if errors.Is(err, ipfs.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("removing %s from the %s: %w", ref.Ciq(root), store, err)
		}
		removed = true
	}
	if !removed {
		return NotPublished(root)
	}
	return nil
}

// NotPublished is the error about a root that no store keeps; it matches
// [ipfs.ErrNotFound].
func NotPublished(root cid.Cid) error {
	return fmt.Errorf("%w: %s is not published here (image2ipfs ls lists what is)", ipfs.ErrNotFound, ref.Ciq(root))
}
