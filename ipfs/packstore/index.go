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

// writeSegment makes a segment of what write puts into it durable; an empty
// one is not kept.
func (d dir) writeSegment(write func(f *os.File) (entries uint64, err error)) (name string, err error) {
	name = newPackID().String() + segmentExt
	tmp := d.join("tmp", name)
	f, err := createTemp(tmp)
	if err != nil {
		return "", err
	}
	n, err := write(f)
	if err == nil {
		err = syncAndClose(f)
	} else {
		f.Close()
	}
	if err == nil && n > 0 {
		return name, renameDurably(tmp, d.segment(name))
	}
	os.Remove(tmp)
	return "", err
}

// addSegment puts entries into the index.
func (d dir) addSegment(entries []entry) (name string, err error) {
	return d.writeSegment(func(f *os.File) (uint64, error) { return writeEntries(f, entries) })
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
// as well. The caller holds the commit lock, and keeps gc away.
func (x *index) compact() error {
	v, err := x.refresh()
	if err != nil || len(v.segs) <= maxSegments {
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
	_, err = x.dir.writeSegment(func(f *os.File) (uint64, error) {
		return merge(f, segs, func(e entry) bool { return there[e.pack] })
	})
	if err != nil {
		return err
	}
	names := make([]string, len(segs))
	for i, s := range segs {
		names[i] = s.name
	}
	return x.dir.removeSegments(names)
}
