package packstore

import (
	"errors"
	"fmt"
	"os"

	"github.com/image2ipfs/image2ipfs/internal/owned"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// unreadable is the error about what is there and cannot be read: nothing is known of it,
// which is not that it is missing. It matches [ipfs.ErrUnavailable].
func (d dir) unreadable(err error) error {
	if errors.Is(err, ipfs.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ipfs.ErrUnavailable, d.advised(err))
}

// permitted is err, of reading a file, with what to do when that is not permitted.
func (d dir) permitted(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return d.unreadable(err)
	}
	return err
}

// advised says of an error about permissions whose store it is, and what to do.
func (d dir) advised(err error) error {
	if advice := owned.Denied(string(d), err); advice != "" {
		return fmt.Errorf("%w; %s", err, advice)
	}
	return err
}

// readyPacks is how many packs Ready looks at.
const readyPacks = 256

// Ready tells whether the store can be read: its index, its records and the first of its packs.
// Where write is set it must take new images, too. Errors match [ipfs.ErrUnavailable].
func (s *Store) Ready(write bool) error {
	v, err := s.index.refresh()
	if err == nil {
		_, err = s.dir.rootCIDs()
	}
	if err != nil {
		return s.dir.unreadable(err)
	}
	looked := 0
	for _, seg := range v.segs {
		for _, id := range seg.packs {
			if looked++; looked > readyPacks {
				break
			}
			if err := accessible(s.dir.pack(id), false); err != nil && !errors.Is(err, os.ErrNotExist) { // gc may have taken it
				return s.dir.unreadable(err)
			}
		}
	}
	if !write {
		return nil
	}
	for _, sub := range []string{s.dir.packs(), s.dir.index(), s.dir.roots(), s.dir.tmp(), s.dir.join("records")} {
		if err := accessible(sub, true); err != nil && !errors.Is(err, os.ErrNotExist) { // records are made with the first
			return fmt.Errorf("%w: the store takes nothing new: %w", ipfs.ErrUnavailable, s.dir.advised(err))
		}
	}
	return nil
}
