package packstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// maxHeldKnown is of how many files it is remembered which packs they are in.
const maxHeldKnown = 4096

// holds remembers in which packs files lie, by one state of the index.
type holds struct {
	mu    sync.Mutex
	view  *view
	packs map[cid.Cid][]packID
}

func (h *holds) get(v *view, c cid.Cid) ([]packID, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.view != v {
		return nil, false
	}
	ids, ok := h.packs[c]
	return ids, ok
}

func (h *holds) put(v *view, c cid.Cid, ids []packID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.view != v || len(h.packs) >= maxHeldKnown {
		h.view, h.packs = v, map[cid.Cid][]packID{}
	}
	h.packs[c] = ids
}

var _ ipfs.Holder = (*Store)(nil)

// held is a store as it was when something was held. It is a [ipfs.Viewer] and a
// [ipfs.Sender].
type held struct {
	s     *Store
	view  *view
	packs map[packID]*packFile
	all   bool // all that is below is held: packs no longer changes
	once  sync.Once
}

// Hold implements [ipfs.Holder]: the packs stay open, and so readable after they
// were removed, but on Windows, where open files are not removed.
func (s *Store) Hold(ctx context.Context, c cid.Cid) (ipfs.Getter, func(), error) {
	if s.hides(c) {
		return nil, nil, s.unpublished(c)
	}
	v, err := s.index.current()
	for err == nil {
		var h *held
		if h, err = s.holdIn(ctx, v, c); err == nil {
			return h, h.release, nil
		}
		now, rerr := s.index.refresh()
		if rerr != nil || now == v {
			break
		}
		v, err = now, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ipfs.ErrNotFound, err)
	}
	return nil, nil, fmt.Errorf("holding %s in %s: %w", c, s, err)
}

func (s *Store) holdIn(ctx context.Context, v *view, c cid.Cid) (*held, error) {
	h := &held{s: s, view: v, packs: map[packID]*packFile{}}
	ids, known := s.holds.get(v, c)
	var err error
	for _, id := range ids {
		if err = h.take(id); err != nil {
			break
		}
	}
	if !known {
		var missing error
		err = ipfs.Blocks(ctx, h, c, 0, func(b cid.Cid, _ int64) bool {
			if missing == nil {
				missing = h.takeBlock(b)
			}
			return missing == nil
		})
		err = errors.Join(missing, err)
	}
	if err != nil {
		h.release()
		return nil, err
	}
	h.all = true
	if !known {
		for id := range h.packs {
			ids = append(ids, id)
		}
		s.holds.put(v, c, ids)
	}
	return h, nil
}

// take holds a pack.
func (h *held) take(id packID) error {
	if h.packs[id] != nil {
		return nil
	}
	f, err := h.s.packs.hold(id)
	if err == nil {
		h.packs[id] = f
	}
	return err
}

// takeBlock holds a pack in which a block lies.
func (h *held) takeBlock(c cid.Cid) error {
	return h.view.find(keyOf(c), func(loc location) error { return h.take(loc.pack) })
}

func (h *held) release() {
	h.once.Do(func() {
		for _, f := range h.packs {
			h.s.packs.release(f)
		}
	})
}

// find calls try for where a block lies in a held pack.
func (h *held) find(c cid.Cid, try func(f *packFile, loc location) error) error {
	if !c.Defined() {
		return fmt.Errorf("%w: undefined CID", ipfs.ErrNotFound)
	}
	err := h.view.find(keyOf(c), func(loc location) error {
		f := h.packs[loc.pack]
		if f == nil && h.all {
			return os.ErrNotExist
		}
		if f == nil { // a node on the way to the others
			if err := h.take(loc.pack); err != nil {
				return err
			}
			f = h.packs[loc.pack]
		}
		return try(f, loc)
	})
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ipfs.ErrNotFound, err)
	}
	if err != nil {
		err = &ipfs.BlockError{CID: c, Place: h.s.String(), Err: err}
	}
	return err
}

// Get implements [ipfs.Getter]; errors are those of [Store.Get].
func (h *held) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	return h.read(c, func(n int) []byte { return make([]byte, n) })
}

func (h *held) read(c cid.Cid, alloc func(n int) []byte) (data []byte, err error) {
	err = h.find(c, func(f *packFile, loc location) error {
		section := alloc(int(loc.size))
		_, err := f.ReadAt(section, loc.off)
		if err == nil {
			data, err = sectionData(section, c)
		}
		if err != nil {
			return packError(f.Name(), loc, err)
		}
		return nil
	})
	return data, err
}

// View implements [ipfs.Viewer].
func (h *held) View(_ context.Context, c cid.Cid, fn func(data []byte) error) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	data, err := h.read(c, buffer(buf))
	if err != nil {
		return err
	}
	return fn(data)
}

// Send implements [ipfs.Sender]: from the page cache as long as the pack has a name.
func (h *held) Send(_ context.Context, c cid.Cid, skip int64, w io.ReaderFrom) (n int64, err error) {
	var from io.Reader
	var size int64
	err = h.find(c, func(f *packFile, loc location) (err error) {
		file, length, err := h.s.dir.openSection(c, loc)
		if !errors.Is(err, os.ErrNotExist) {
			from, size = file, length
			return err
		}
		head := make([]byte, min(maxSectionHeader, int(loc.size)))
		var start int
		if _, err = f.ReadAt(head, loc.off); err == nil {
			start, err = dataStart(head, int(loc.size), c)
		}
		if err != nil {
			return packError(f.Name(), loc, err)
		}
		size = int64(loc.size) - int64(start)
		from = io.NewSectionReader(f, loc.off+int64(start), size)
		return nil
	})
	if err != nil {
		return 0, err
	}
	if file, ok := from.(*os.File); ok {
		defer file.Close()
	}
	if _, err := from.(io.Seeker).Seek(skip, io.SeekCurrent); err != nil {
		return 0, err
	}
	return w.ReadFrom(&io.LimitedReader{R: from, N: size - skip})
}
