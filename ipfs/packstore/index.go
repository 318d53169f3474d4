package packstore

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/image2ipfs/image2ipfs/internal/owned"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// index is what is known of the segments on disk. Other processes add and
// remove some at any time, so nothing follows from a look-up that fails before
// the directory was listed again.
type index struct {
	dir  dir
	mu   sync.Mutex // held by refresh
	last atomic.Pointer[view]
}

// view is one state of the index; it does not change.
type view struct {
	segs   []*segment
	broken error // segments that could not be opened
	at     atomic.Pointer[stamp]
	recent atomic.Int32 // the segment with the latest hit: an image's blocks lie together
}

// view gives the latest known state, which may be out of date.
func (x *index) view() (*view, error) {
	if v := x.last.Load(); v != nil {
		return v, nil
	}
	return x.refresh()
}

// current is view for who must see what was removed. A store that was moved away
// is as it was.
func (x *index) current() (*view, error) {
	v := x.last.Load()
	if v == nil {
		return x.refresh()
	}
	if at := v.at.Load(); at != nil && at.isCurrent(x.dir.index()) {
		return v, nil
	}
	now, err := x.refresh()
	if errors.Is(err, os.ErrNotExist) {
		return v, nil
	}
	return now, err
}

// refresh lists the directory and gives the state as of now: the same pointer
// when nothing has changed.
func (x *index) refresh() (*view, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.last.Load()
	for {
		at := stampOf(x.dir.index())
		names, err := x.dir.segments()
		if err != nil {
			return nil, err
		}
		if old != nil && old.broken == nil && slices.EqualFunc(old.segs, names, func(s *segment, name string) bool { return s.name == name }) {
			old.at.Store(&at)
			return old, nil
		}
		v, err := x.open(old, names)
		if errors.Is(err, os.ErrNotExist) { // merged meanwhile: list again
			continue
		}
		if err != nil {
			return nil, err
		}
		v.at.Store(&at)
		if old != nil && v.broken != nil && old.broken != nil && v.broken.Error() == old.broken.Error() && slices.Equal(v.segs, old.segs) {
			return old, nil
		}
		x.last.Store(v)
		return v, nil
	}
}

// open opens the named segments; those in old are taken from there. The files
// of segments that fall out are closed by the runtime when the last look-up in
// them is done.
func (x *index) open(old *view, names []string) (*view, error) {
	known := map[string]*segment{}
	if old != nil {
		for _, s := range old.segs {
			known[s.name] = s
		}
	}
	v := &view{}
	var broken []error
	for _, name := range names {
		s := known[name]
		if s == nil {
			var err error
			s, err = openSegment(x.dir.segment(name), name)
			if errors.Is(err, ipfs.ErrCorrupt) {
				broken = append(broken, err)
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("opening index: %w", err)
			}
		}
		v.segs = append(v.segs, s)
	}
	v.broken = errors.Join(broken...)
	return v, nil
}

// close closes the segments in use.
func (x *index) close() {
	if v := x.last.Load(); v != nil {
		for _, s := range v.segs {
			if s.file != nil {
				s.file.Close()
			}
		}
	}
}

// isSegment tells whether an entry of the index's directory is part of it, and nothing
// that another program left there.
func isSegment(f os.DirEntry) bool {
	name, ok := strings.CutSuffix(f.Name(), segmentExt)
	_, ours := parsePackID(name + packExt)
	return ok && ours && f.Type().IsRegular()
}

// segments lists the files of the index in the order of their names.
func (d dir) segments() ([]string, error) {
	f, err := os.Open(d.index())
	if err != nil {
		return nil, fmt.Errorf("opening index: %w", err)
	}
	defer f.Close()
	files, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("reading index: %w", err)
	}
	var names []string
	for _, f := range files {
		if isSegment(f) {
			names = append(names, f.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// find calls try for each place where the index says that k is, until it
// returns nil. The error is the last of try, or matches [ipfs.ErrNotFound].
func (v *view) find(k key, try func(location) error) error {
	err := fmt.Errorf("%w in the index", ipfs.ErrNotFound)
	if v.broken != nil {
		err = v.broken
	}
	start := int(v.recent.Load())
	for n := range v.segs {
		i := (start + n) % len(v.segs)
		pos, e, ferr := v.segs[i].find(k)
		if ferr != nil {
			err = ferr
			continue
		}
		if pos < 0 {
			continue
		}
		if err = try(e.location); err == nil {
			if i != start {
				v.recent.Store(int32(i))
			}
			return nil
		}
	}
	return err
}

// has tells whether the index says that k is somewhere.
func (v *view) has(k key) bool {
	return v.find(k, func(location) error { return nil }) == nil
}

// pendingSegment is one that is durable in tmp/ and not yet in the index. One without a
// name has no entries and is left out.
type pendingSegment struct {
	dir  dir
	name string
	size int64 // bytes
}

// makeSegment makes a segment of what write puts into it. The caller shares the store's
// lock, or is gc.
func (d dir) makeSegment(write func(f *os.File) (entries uint64, err error)) (s pendingSegment, err error) {
	s = pendingSegment{dir: d, name: newPackID().String() + segmentExt}
	f, err := owned.Create(s.temp())
	if err != nil {
		return pendingSegment{}, err
	}
	n, err := write(f)
	if info, serr := f.Stat(); serr == nil {
		s.size = info.Size()
	}
	if err == nil && n > 0 {
		err = syncAndClose(f)
	} else {
		f.Close()
	}
	if err != nil || n == 0 {
		return pendingSegment{dir: d}, errors.Join(err, s.discard())
	}
	return s, nil
}

func (s pendingSegment) temp() string { return s.dir.join("tmp", s.name) }

// place puts a segment into the index, durably.
func (s pendingSegment) place() error {
	if s.name == "" {
		return nil
	}
	return renameDurably(s.temp(), s.dir.segment(s.name))
}

// discard removes a segment that is not put into the index.
func (s pendingSegment) discard() error {
	if s.name == "" {
		return nil
	}
	_, err := removeFile(s.temp())
	return err
}

// removeSegments takes segments whose entries are elsewhere out of the index.
func (d dir) removeSegments(segs []string) error {
	var errs []error
	for _, name := range segs {
		_, err := removeFile(d.segment(name))
		errs = append(errs, err)
	}
	return errors.Join(append(errs, syncDir(d.index()))...)
}

// packsOf tells which packs of segments are there.
func (d dir) packsOf(segs []*segment) (map[packID]bool, error) {
	there := map[packID]bool{}
	for _, s := range segs {
		for _, id := range s.packs {
			_, err := os.Stat(d.pack(id))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			there[id] = err == nil
		}
	}
	return there, nil
}

// maxSegments is how many a look-up may have to ask before some are merged.
const maxSegments = 8

// compact merges the smallest segments so that few are left and each entry is
// written O(log n) times in all. Entries that an interrupted gc has left, of
// packs that are gone, go: one of them may stand for a block that is elsewhere
// as well. The caller shares the store's lock and holds the commit lock. While gc is at
// work nothing is done, since it knows the segments by their names.
func (x *index) compact() (err error) {
	v, err := x.refresh()
	if err != nil || len(v.segs) <= maxSegments {
		return err
	}
	unlock, free, err := tryShared(x.dir.collectLock())
	if err != nil || !free {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if v, err = x.refresh(); err != nil || len(v.segs) <= maxSegments { // gc has ended a moment ago
		return err
	}
	segs := slices.Clone(v.segs)
	sort.Slice(segs, func(i, j int) bool { return segs[i].n < segs[j].n })
	sum, take := segs[0].n, 1
	for take < len(segs) && (segs[take].n < 2*sum || take < maxSegments/2) {
		sum += segs[take].n
		take++
	}
	segs = segs[:take]
	there, err := x.dir.packsOf(segs)
	if err != nil {
		return err
	}
	merged, err := x.dir.makeSegment(func(f *os.File) (uint64, error) {
		return merge(f, segs, func(e entry) bool { return there[e.pack] })
	})
	if err == nil {
		err = merged.place()
	}
	if err != nil {
		return err
	}
	names := make([]string, len(segs))
	for i, s := range segs {
		names[i] = s.name
	}
	return x.dir.removeSegments(names)
}
