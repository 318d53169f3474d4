package packstore

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/owned"
)

// used/<cid>.json, an empty file, says by its time when a root was last pulled from a
// server, or a manifest that a record keeps. There are such files of what is kept only;
// without one that is not known.

// usedFile is where a root's is.
func (d dir) usedFile(c cid.Cid) string { return d.join("used", rootName(c)) }

// NoteUse notes that a root was pulled just now. One that is not kept is passed over: who
// asks for what there is not leaves nothing on disk.
func (s *Store) NoteUse(c cid.Cid) error {
	if _, err := os.Stat(s.dir.rootFile(c)); !c.Defined() || err != nil {
		return nil //nolint:nilerr // there is nothing to note
	}
	return s.NoteHeld(c)
}

// NoteHeld notes that what a record keeps under c was pulled just now, which the caller has
// seen.
func (s *Store) NoteHeld(c cid.Cid) error {
	now := time.Now()
	path := s.dir.usedFile(c)
	if err := os.Chtimes(path, now, now); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := owned.Mkdir(s.dir.join("used")); err != nil {
		return err
	}
	return owned.Touch(path)
}

// LastUse is when a root, or what a record keeps, was last pulled, as far as that was noted; else zero.
func (s *Store) LastUse(c cid.Cid) time.Time {
	if !c.Defined() {
		return time.Time{}
	}
	info, err := os.Stat(s.dir.usedFile(c))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime().UTC()
}

// forgetUse forgets when a root was pulled, which is no longer kept.
func (d dir) forgetUse(c cid.Cid) { _ = os.Remove(d.usedFile(c)) } // what is left costs a name

// sweepUsed forgets when that was pulled of which the store no longer has the first block.
func (d dir) sweepUsed(has func(key) bool) {
	files, _ := os.ReadDir(d.join("used")) // what is left costs a name
	for _, f := range files {
		if c, err := cid.Decode(strings.TrimSuffix(f.Name(), rootExt)); err == nil && !has(keyOf(c)) {
			d.forgetUse(c)
		}
	}
}

// DiskUsage is how many bytes the store takes on disk, with what publications under way
// and such as were cut off have written, and without the cache.
func (s *Store) DiskUsage() (bytes int64, err error) {
	if bytes, err = s.dir.usage(); err != nil {
		return 0, fmt.Errorf("how large %s is: %w", s, err)
	}
	return bytes, nil
}
