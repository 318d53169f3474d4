package packstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// rootName is how files about a root are called, the same for both versions of its
// CID.
func rootName(c cid.Cid) string { return cid.NewCidV1(c.Type(), c.Hash()).String() + rootExt }

// rootFile is the record of a root.
func (d dir) rootFile(c cid.Cid) string { return d.join("roots", rootName(c)) }

// records lists what is kept, from the names of the records alone, and what else
// lies among them: what another program left there is no record, whatever it is
// called, and neither is a directory or a CID that is not written as records are.
func (d dir) records() (roots []cid.Cid, foreign []string, err error) {
	files, err := os.ReadDir(d.roots())
	if err != nil {
		return nil, nil, fmt.Errorf("listing published roots: %w", d.permitted(err))
	}
	for _, f := range files {
		c, err := cid.Decode(strings.TrimSuffix(f.Name(), rootExt))
		if err != nil || f.IsDir() || filepath.Base(d.rootFile(c)) != f.Name() {
			foreign = append(foreign, f.Name())
			continue
		}
		roots = append(roots, c)
	}
	return roots, foreign, nil
}

// rootCIDs lists what is kept.
func (d dir) rootCIDs() ([]cid.Cid, error) {
	roots, _, err := d.records()
	return roots, err
}

// Foreign gives the paths of what lies among the records of published roots, of what
// was pushed and the files of the index, and is none. It is passed over.
func (s *Store) Foreign() ([]string, error) {
	_, names, err := s.dir.records()
	for i, name := range names {
		names[i] = s.dir.join("roots", name)
	}
	spaces, rerr := s.dir.recordDirs()
	err = errors.Join(err, rerr)
	for _, space := range spaces {
		names = append(names, foreignIn(space, isRecord)...)
	}
	return append(names, foreignIn(s.dir.index(), isSegment)...), err
}

// foreignIn gives the paths of what of a directory is not ours.
func foreignIn(dir string, isOurs func(os.DirEntry) bool) (paths []string) {
	files, _ := os.ReadDir(dir) // what cannot be listed says so where it is needed
	for _, f := range files {
		if !isOurs(f) {
			paths = append(paths, filepath.Join(dir, f.Name()))
		}
	}
	return paths
}

// readRoot reads a record; the error matches [os.ErrNotExist] when there is none.
func (d dir) readRoot(c cid.Cid) (ipfs.Root, error) {
	data, err := os.ReadFile(d.rootFile(c))
	if err != nil {
		return ipfs.Root{}, d.permitted(err)
	}
	var r ipfs.Root
	if err := jsontext.Unmarshal(data, &r); err != nil {
		return ipfs.Root{}, fmt.Errorf("%w: record %s: %v; publish the image again or remove it", ipfs.ErrCorrupt, d.rootFile(c), err)
	}
	return r, nil
}

// writeRoot keeps r, with the names under which it is kept already. The caller
// holds the commit lock. A damaged record is replaced.
func (d dir) writeRoot(r ipfs.Root) error {
	old, err := d.readRoot(r.CID)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, ipfs.ErrCorrupt) {
		return err
	}
	if err == nil {
		r.Pushed = r.Pushed && old.Pushed
		r.Pinned = r.Pinned || old.Pinned
	}
	if r.Published.IsZero() {
		r.Published = time.Now()
	}
	r.Published = r.Published.UTC().Truncate(time.Millisecond)
	r.Names = append(old.Names, r.Names...)
	slices.Sort(r.Names)
	r.Names = slices.Compact(r.Names)
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return d.showRoot(d.rootFile(r.CID), append(data, '\n'))
}

// showRoot replaces a record, or leaves what was there: what is not sure to last
// is not shown either.
func (d dir) showRoot(path string, data []byte) error {
	before, missing := os.ReadFile(path)
	err := d.writeFile(path, data)
	if err == nil {
		return nil
	}
	if now, rerr := os.ReadFile(path); rerr != nil || !bytes.Equal(now, data) {
		return err // it did not come so far
	}
	if missing == nil {
		return errors.Join(err, d.replaceFile(path, before))
	}
	_, gone := removeFile(path)
	return errors.Join(err, gone)
}

// hideRoot removes a record, or leaves it.
func (d dir) hideRoot(path string) error {
	before, err := os.ReadFile(path)
	if err != nil && errors.Is(err, os.ErrNotExist) {
		return err
	}
	unreadable := err != nil
	if err := os.Remove(path); err != nil {
		return err
	}
	err = syncDir(d.roots())
	if err != nil && !unreadable {
		err = errors.Join(err, d.replaceFile(path, before))
	}
	return err
}

// Roots lists what was published, oldest first. The error matches
// [ipfs.ErrCorrupt] when a record is damaged, and the others are given.
func (s *Store) Roots(ctx context.Context) ([]ipfs.Root, error) {
	cids, err := s.dir.rootCIDs()
	if err != nil {
		return nil, err
	}
	var roots []ipfs.Root
	var damaged []error
	for _, c := range cids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := s.dir.readRoot(c)
		switch {
		case errors.Is(err, os.ErrNotExist): // removed meanwhile
		case err != nil:
			damaged = append(damaged, err)
		default:
			roots = append(roots, r)
		}
	}
	sort.SliceStable(roots, func(i, j int) bool { return roots[i].Published.Before(roots[j].Published) })
	return roots, errors.Join(damaged...)
}

// Remove ends the keeping of a root, which nobody finds any more; GC frees the
// space. The error matches [ipfs.ErrNotFound] when c is not kept.
func (s *Store) Remove(ctx context.Context, c cid.Cid) error {
	_, err := s.RemoveIf(ctx, c, func(ipfs.Root) (bool, error) { return true, nil })
	return err
}

// RemoveIf implements [ipfs.Recorder].
func (s *Store) RemoveIf(ctx context.Context, c cid.Cid, may func(ipfs.Root) (bool, error)) (gone bool, err error) {
	if !c.Defined() {
		return false, fmt.Errorf("%w: undefined CID", ipfs.ErrNotFound)
	}
	unlock, err := lockExclusive(ctx, s.dir.commitLock(), nil)
	if err != nil {
		return false, err
	}
	defer unlock()
	root, err := s.dir.readRoot(c)
	if errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("%w: root %s is not kept in %s", ipfs.ErrNotFound, c, s)
	}
	if err != nil || !root.CID.Defined() {
		root = ipfs.Root{CID: c}
	}
	if ok, err := may(root); err != nil || !ok {
		return false, err
	}
	s.dir.noteRemoved(c)
	err = s.dir.hideRoot(s.dir.rootFile(c))
	if err != nil {
		return false, fmt.Errorf("removing root %s: %w", c, err)
	}
	s.dir.forgetUse(c)
	return true, nil
}

// Keeps tells whether c was published on the store, whichever version of CID it
// was; damaged records of others do not matter.
func (s *Store) Keeps(ctx context.Context, c cid.Cid) bool {
	roots, _ := s.Roots(ctx)
	return slices.ContainsFunc(roots, func(r ipfs.Root) bool { return string(r.CID.Hash()) == string(c.Hash()) })
}
