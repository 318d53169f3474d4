package packstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// What a publication looks at in the end, since garbage may have been collected while
// it was under way. The caller of all these shares the store's lock.

// collected tells whether the index no longer says all that it said when the publication
// looked something up, or something was taken away since.
func (t *tx) collected() (bool, error) {
	now, err := t.s.dir.era()
	if err != nil {
		return false, err
	}
	names, err := t.s.dir.segments()
	if err != nil {
		return false, err
	}
	return t.moved || now != t.era || !hasAll(names, t.view.segs), nil
}

// hasAll tells whether all of some segments are among names.
func hasAll(names []string, segs []*segment) bool {
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	for _, s := range segs {
		if !there[s.name] {
			return false
		}
	}
	return true
}

// checkClaims finds out whether all packs on which the publication relies are there. gc
// leaves them alone; an older version of it does not know of claims.
func (t *tx) checkClaims() error {
	for _, id := range t.relies.claimed {
		if _, err := os.Stat(t.s.dir.pack(id)); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("%w: pack %s, in which it has found blocks, was removed meanwhile: begin again", ipfs.ErrNotFound, id)
			}
			return err
		}
	}
	return nil
}

// checkWhole finds out whether all blocks below roots are there: a publication may link
// to what it knows to be kept and has neither put nor looked up. The error matches
// [ipfs.ErrNotFound] when one is not.
func (s *Store) checkWhole(ctx context.Context, roots []cid.Cid) error {
	v, err := s.index.refresh()
	if err != nil {
		return err
	}
	there := map[packID]bool{} // open files of packs that are gone are no proof
	in := func(try func(location) error) func(location) error {
		return func(loc location) error {
			if !there[loc.pack] {
				if _, err := os.Stat(s.dir.pack(loc.pack)); err != nil {
					return err
				}
				there[loc.pack] = true
			}
			return try(loc)
		}
	}
	seen := map[key]bool{} // of nodes: the same bytes may be a leaf elsewhere
	for todo := append([]cid.Cid(nil), roots...); len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		k := keyOf(c)
		if c.Type() == cid.Raw {
			if err := v.find(k, in(func(location) error { return nil })); err != nil {
				return collectedError(ctx, c, err)
			}
			continue
		}
		if seen[k] {
			continue
		}
		seen[k] = true
		var data []byte
		err := v.find(k, in(func(loc location) (err error) {
			data, err = s.packs.section(c, loc, func(n int) []byte { return make([]byte, n) })
			return err
		}))
		if err == nil {
			err = ipfs.VerifyBlock(c, data)
		}
		if err != nil {
			return collectedError(ctx, c, err)
		}
		links, err := ipfs.Links(c, data)
		if err != nil {
			return err
		}
		for _, l := range links {
			todo = append(todo, l.Cid)
		}
	}
	return ctx.Err()
}

// collectedError says what became of a block that was there when the publication began.
func collectedError(ctx context.Context, c cid.Cid, err error) error {
	if ctx.Err() != nil || errors.Is(err, ipfs.ErrCorrupt) {
		return errors.Join(ctx.Err(), err)
	}
	return fmt.Errorf("%w: garbage was collected meanwhile, and block %s, to which it leads, is no longer there: begin again: %w", ipfs.ErrNotFound, c, err)
}
