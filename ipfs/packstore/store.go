// Package packstore is the embedded store: a store of blocks in a directory.
//
// Blocks lie in packs, append-only CARv1 files that any IPFS tool reads; the
// blocks of a publication lie one behind the other. An index of sorted
// segments says where each block is, a record per published root what is kept.
// Nothing is changed in place: files are written under tmp/, flushed, renamed,
// and their directory flushed, packs first, then index, then record.
//
//	version            number of this format
//	packs/<id>.car     blocks
//	index/<id>.idx     where they are
//	roots/<cid>.json   what was published: [ipfs.Root]
//	records/           what is kept beside it: [ipfs.Record]
//	known              which files became of contents, to spare work
//	cache/             blocks that came from others: [Cache]
//	tmp/               what is being written
//	collected          changes when garbage was collected
//	gc, gate, lock, commit
//
// Any number of processes may use one store, and garbage may be collected while they
// publish: docs/store.md says how, and why that is safe. Readers need no lock, since
// they look again when a file has gone. All that readers need are read permissions.
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

// Store is an [ipfs.Store] in a directory; it is safe for concurrent use.
type Store struct {
	dir   dir
	index index
	packs packFiles

	holds   holds
	removed removals
	claims  claims

	hook func(point string) // of tests; nil for none
}

// at tells a test how far something is.
func (s *Store) at(point string) {
	if s.hook != nil {
		s.hook(point)
	}
}

var (
	_ ipfs.Store  = (*Store)(nil)
	_ ipfs.Viewer = (*Store)(nil)
	_ ipfs.Sender = (*Store)(nil)
)

// Open opens the store in the directory path, and makes an empty one if there
// is nothing. It fails on a store of another format and on a directory that
// holds something else.
func Open(path string) (*Store, error) {
	d := dir(path)
	if err := d.prepare(); err != nil {
		return nil, err
	}
	return &Store{dir: d, index: index{dir: d}, packs: packFiles{dir: d}}, nil
}

// OpenExisting is Open for those that only read: it makes nothing. Without a
// store in path the error matches [ipfs.ErrNotFound].
func OpenExisting(path string) (*Store, error) {
	d := dir(path)
	err := d.checkVersion()
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no store at %s; publish and serve make one, or set IMAGE2IPFS_PATH", ipfs.ErrNotFound, d)
	}
	if err != nil {
		return nil, err
	}
	return &Store{dir: d, index: index{dir: d}, packs: packFiles{dir: d}}, nil
}

// String says where the store is.
func (s *Store) String() string { return "embedded store " + string(s.dir) }

// Path is the store's directory.
func (s *Store) Path() string { return string(s.dir) }

// Close closes all files. Transactions must have ended before.
func (s *Store) Close() error {
	s.packs.close()
	s.index.close()
	return nil
}

// Has tells whether a block is there, without reading it.
func (s *Store) Has(ctx context.Context, c cid.Cid) bool {
	if _, err := s.index.current(); err != nil {
		return false
	}
	return s.lookup(ctx, c, func(loc location) error {
		_, err := s.packs.get(loc.pack)
		return err
	}) == nil
}

// Size tells how many bytes a block has, without reading it. Errors are those
// of Get.
func (s *Store) Size(ctx context.Context, c cid.Cid) (size int64, err error) {
	err = s.lookup(ctx, c, func(loc location) (err error) {
		size, err = s.packs.dataSize(c, loc)
		return err
	})
	return size, err
}

// Get reads a block into new memory. It checks that the block lies where the
// index says but does not hash it: [ipfs.Verified] does. Errors match
// [ipfs.ErrNotFound], or [ipfs.ErrCorrupt] when the store is damaged.
func (s *Store) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	return s.read(ctx, c, func(n int) []byte { return make([]byte, n) })
}

// View calls fn with a block that is valid only until fn returns, which saves
// Get's allocation. Errors are those of Get and of fn.
func (s *Store) View(ctx context.Context, c cid.Cid, fn func(data []byte) error) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	data, err := s.read(ctx, c, buffer(buf))
	if err != nil {
		return err
	}
	return fn(data)
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// buffer allocates from *buf, which grows as needed.
func buffer(buf *[]byte) func(n int) []byte {
	return func(n int) []byte {
		if cap(*buf) < n {
			*buf = make([]byte, n)
		}
		return (*buf)[:n]
	}
}

// Send implements [ipfs.Sender]. Like Get it does not hash the block.
func (s *Store) Send(ctx context.Context, c cid.Cid, skip int64, w io.ReaderFrom) (n int64, err error) {
	var f *os.File
	var size int64
	err = s.lookup(ctx, c, func(loc location) (err error) {
		f, size, err = s.dir.openSection(c, loc)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Seek(skip, io.SeekCurrent); err != nil {
		return 0, err
	}
	return w.ReadFrom(&io.LimitedReader{R: f, N: size - skip})
}

func (s *Store) read(ctx context.Context, c cid.Cid, alloc func(n int) []byte) (data []byte, err error) {
	err = s.lookup(ctx, c, func(loc location) (err error) {
		data, err = s.packs.section(c, loc, alloc)
		return err
	})
	return data, err
}

// lookup calls try for where a block lies, again for as long as try fails and
// the index changes under it.
func (s *Store) lookup(ctx context.Context, c cid.Cid, try func(location) error) error {
	if !c.Defined() {
		return fmt.Errorf("%w: undefined CID", ipfs.ErrNotFound)
	}
	if s.hides(c) {
		return s.unpublished(c)
	}
	k := keyOf(c)
	look := s.index.current
	if c.Type() == cid.Raw { // who has read the way to a leaf may go on as long as its pack is open
		look = s.index.view
	}
	v, err := look()
	if err != nil {
		return s.unopened(c, err)
	}
	for err == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		missing := v.find(k, try)
		if missing == nil {
			return nil
		}
		before := v
		if v, err = s.index.refresh(); err != nil {
			return s.unopened(c, err)
		} else if v == before {
			err = missing
		}
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		err = s.dir.unreadable(err)
	case errors.Is(err, os.ErrNotExist):
		err = fmt.Errorf("%w: %w", ipfs.ErrNotFound, err)
	}
	return &ipfs.BlockError{CID: c, Place: s.String(), Err: err}
}

// unopened is the error for a block that was looked for in an index that could not be
// opened: whether it is there cannot be told.
func (s *Store) unopened(c cid.Cid, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return s.away(err)
	}
	return &ipfs.BlockError{CID: c, Place: s.String(), Err: s.dir.unreadable(err)}
}

// away is the error for a store whose directory is not where it was: what is in it
// cannot be told then, and is not missing.
func (s *Store) away(err error) error {
	return fmt.Errorf("%w: %s is gone: %w", ipfs.ErrUnavailable, s, err)
}
