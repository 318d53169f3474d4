package packstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/owned"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// removed/<cid>.json, an empty file, says that a root was removed and its blocks are
// there until gc: readers, of other processes too, no longer find it. It counts as
// long as there is no record of the root. Without it (the disk is full, say) the
// root is found until gc.

// removedFile is where a root's is.
func (d dir) removedFile(c cid.Cid) string { return d.join("removed", rootName(c)) }

// noteRemoved says that a root is removed.
func (d dir) noteRemoved(c cid.Cid) {
	if err := owned.Mkdir(d.join("removed")); err == nil {
		_ = owned.Touch(d.removedFile(c)) // see above
	}
}

// sweepRemoved forgets roots that were removed but for those that are to stay hidden. The
// caller holds the commit lock.
func (d dir) sweepRemoved(stays func(key) bool) error {
	files, err := os.ReadDir(d.join("removed"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		c, foreign := cid.Decode(strings.TrimSuffix(f.Name(), rootExt))
		if foreign != nil || !stays(keyOf(c)) {
			err = errors.Join(err, os.RemoveAll(d.join("removed", f.Name())))
		}
	}
	_ = os.Remove(d.join("removed")) // unless some are left
	return err
}

// freshFor is how long after a change the times of a directory do not tell whether
// there was another: file systems round them.
const freshFor = 2 * time.Second

// stamp tells whether a directory has changed. The zero value knows nothing.
type stamp struct{ modified time.Time }

// stampOf is to be taken before the directory is read.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil || time.Since(info.ModTime()) < freshFor {
		return stamp{}
	}
	return stamp{info.ModTime()}
}

func (s stamp) isCurrent(path string) bool { return s.is(stampOf(path)) }

// is tells whether both are of one state of the directory.
func (s stamp) is(other stamp) bool { return !s.modified.IsZero() && s == other }

// removals are the roots that were removed.
type removals struct {
	mu  sync.Mutex
	at  stamp
	all map[string]bool
}

// has tells whether a root was removed.
func (r *removals) has(d dir, c cid.Cid) bool {
	path := d.join("removed")
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := stampOf(path); !r.at.is(now) {
		r.at = now
		files, err := os.ReadDir(path)
		if err != nil {
			r.all = nil
			return false
		}
		r.all = map[string]bool{}
		for _, f := range files {
			r.all[f.Name()] = true
		}
	}
	return len(r.all) > 0 && r.all[rootName(c)]
}

// hides tells whether a block is a root that was removed.
func (s *Store) hides(c cid.Cid) bool {
	if c.Type() == cid.Raw || !s.removed.has(s.dir, c) {
		return false
	}
	_, err := os.Stat(s.dir.rootFile(c))
	return errors.Is(err, os.ErrNotExist) && !s.isRecorded(c)
}

// isRecorded tells whether a record keeps c.
func (s *Store) isRecorded(c cid.Cid) bool {
	found := errors.New("found")
	dirs, _ := s.dir.recordDirs()
	for _, dir := range dirs {
		err := eachRecord(context.Background(), dir, func(_ string, r ipfs.Record) error {
			if string(r.CID.Hash()) == string(c.Hash()) && !isOver(r) {
				return found
			}
			return nil
		})
		if errors.Is(err, found) {
			return true
		}
	}
	return false
}

func (s *Store) unpublished(c cid.Cid) error {
	return fmt.Errorf("%w: %s is no longer published on %s", ipfs.ErrNotFound, c, s)
}
