package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/diskspace"
	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// sink is where contents go while an archive is read: a store, or a
// directory. Different branches may be written at the same time.
type sink interface {
	// add stores what r yields.
	add(ctx context.Context, r io.Reader) (stored, error)
	// branch opens a part that can be dropped.
	branch() (branch, error)
	// commit makes the tree of files, by path, the published layout.
	commit(ctx context.Context, files map[string]stored, names []string) (cid.Cid, ipfs.Stats, error)
	// abort throws away everything; after commit it does nothing.
	abort() error
	// remembers tells whether recall may know anything.
	remembers() bool
	// recall and remember are those of [ipfs.Memory].
	recall(ctx context.Context, key string) (ipfs.Known, bool)
	remember(key string, k ipfs.Known)
	// read gives a file of at most limit bytes that recall has told of.
	read(ctx context.Context, file ipfs.Link, limit int64) ([]byte, error)
	// hold has one content stored so that it outlives a failure of the publication,
	// where the sink can.
	hold(ctx context.Context, d digest.Digest, add func(adder) (stored, error)) error
}

type branch interface {
	add(ctx context.Context, r io.Reader) (stored, error)
	drop() error
}

// stored is a content in a sink.
type stored struct {
	ipfs.Link
	file  string // where a directory sink put it
	share Sharing
}

// storeSink publishes into a store.
type storeSink struct {
	mu    sync.Mutex // transactions take one caller at a time
	tx    ipfs.Tx
	store ipfs.Store
	held  ipfs.Stats // of what hold has stored
}

func newStoreSink(ctx context.Context, e ipfs.Store) (*storeSink, error) {
	tx, err := e.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &storeSink{tx: tx, store: e}, nil
}

func (s *storeSink) add(ctx context.Context, r io.Reader) (stored, error) {
	return addTo(ctx, newTally(&s.mu, s.tx), r)
}

func addTo(ctx context.Context, t *tally, r io.Reader) (stored, error) {
	link, err := ipfs.AddFile(ctx, t, r)
	return stored{Link: link, share: t.Sharing}, err
}

func (s *storeSink) remembers() bool {
	_, ok := s.tx.(ipfs.Memory)
	return ok
}

func (s *storeSink) recall(ctx context.Context, key string) (ipfs.Known, bool) {
	m, ok := s.tx.(ipfs.Memory)
	if !ok {
		return ipfs.Known{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.Recall(ctx, key)
}

func (s *storeSink) remember(key string, k ipfs.Known) {
	if m, ok := s.tx.(ipfs.Memory); ok {
		m.Remember(key, k)
	}
}

func (s *storeSink) read(ctx context.Context, file ipfs.Link, limit int64) ([]byte, error) {
	return ipfs.ReadFile(ctx, s.store, file.CID, limit)
}

func (s *storeSink) branch() (branch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.tx.Branch()
	return &storeBranch{&s.mu, b}, ofStore(err)
}

func (s *storeSink) commit(ctx context.Context, files map[string]stored, names []string) (cid.Cid, ipfs.Stats, error) {
	root, _, err := addTree(ctx, s.tx, files)
	if err != nil {
		return cid.Undef, ipfs.Stats{}, ofStore(err)
	}
	stats, err := s.tx.Commit(ctx, ipfs.Root{CID: root.CID, Names: names, Published: now(), Size: blobBytes(files)})
	if err == nil {
		stats = s.release(ctx, files, stats)
	}
	return root.CID, stats, ofStore(err)
}

func (s *storeSink) abort() error { return s.tx.Abort() }

type storeBranch struct {
	mu *sync.Mutex
	b  ipfs.Branch
}

func (b *storeBranch) add(ctx context.Context, r io.Reader) (stored, error) {
	return addTo(ctx, newTally(b.mu, b.b), r)
}

func (b *storeBranch) drop() error { return ofStore(b.b.Drop()) }

// dirSink writes the layout to a directory and only computes its CID.
type dirSink struct {
	dir   string
	fresh bool // we made dir
}

// ErrNotEmpty is matched by errors about a directory that has something in it.
var ErrNotEmpty = errors.New("directory is not empty")

// newDirSink uses the directory dir, which must be empty or not exist yet;
// empty means a new temporary one.
func newDirSink(dir string) (*dirSink, error) {
	s := &dirSink{dir: dir}
	if dir == "" {
		tmp, err := os.MkdirTemp("", "image2ipfs-")
		s.dir, s.fresh = tmp, true
		return s, err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		s.fresh = true
		err = os.MkdirAll(dir, 0o755)
	case err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return !isLeftover(e.Name()) && !diskspace.IsOfVolume(e.Name()) }):
		err = fmt.Errorf("%w: %s; name a new one with -o", ErrNotEmpty, dir)
	case err == nil:
		err = s.sweep()
	}
	return s, err
}

// isLeftover tells whether a file is what a publication was writing that was
// killed.
func isLeftover(name string) bool {
	return strings.HasPrefix(name, blobPrefix) || strings.HasPrefix(name, branchPrefix)
}

const blobPrefix, branchPrefix = ".blob-", ".branch-"

func (s *dirSink) add(ctx context.Context, r io.Reader) (stored, error) {
	f, err := os.CreateTemp(s.dir, blobPrefix)
	if err != nil {
		return stored{}, err
	}
	link, err := ipfs.AddFile(ctx, nowhere{}, io.TeeReader(r, f))
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return stored{}, errors.Join(err, os.Remove(f.Name()))
	}
	return stored{Link: link, file: f.Name()}, nil
}

func (s *dirSink) hold(_ context.Context, _ digest.Digest, add func(adder) (stored, error)) error {
	_, err := add(s)
	return err
}

func (s *dirSink) remembers() bool                                   { return false }
func (s *dirSink) recall(context.Context, string) (ipfs.Known, bool) { return ipfs.Known{}, false }
func (s *dirSink) remember(string, ipfs.Known)                       {}
func (s *dirSink) read(context.Context, ipfs.Link, int64) ([]byte, error) {
	return nil, errors.ErrUnsupported // it knows of none
}

func (s *dirSink) branch() (branch, error) {
	sub, err := os.MkdirTemp(s.dir, branchPrefix)
	return &dirBranch{dirSink{dir: sub}}, err
}

func (s *dirSink) commit(ctx context.Context, files map[string]stored, _ []string) (cid.Cid, ipfs.Stats, error) {
	root, size, err := addTree(ctx, nowhere{}, files)
	if err != nil {
		return cid.Undef, ipfs.Stats{}, err
	}
	made := map[string]bool{filepath.Clean(s.dir): true}
	for path, f := range files {
		target := filepath.Join(s.dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return cid.Undef, ipfs.Stats{}, err
		}
		if err := os.Rename(f.file, target); err != nil {
			return cid.Undef, ipfs.Stats{}, err
		}
		for dir := filepath.Dir(target); !made[dir]; dir = filepath.Dir(dir) {
			made[dir] = true
		}
	}
	for dir := range made {
		if err := durable.SyncDir(dir); err != nil {
			return cid.Undef, ipfs.Stats{}, err
		}
	}
	s.fresh = false
	return root.CID, ipfs.Stats{NewBytes: size}, s.sweep()
}

// sweep removes what did not become part of the tree.
func (s *dirSink) sweep() error {
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		if isLeftover(e.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, e.Name())))
		}
	}
	return err
}

func (s *dirSink) abort() error {
	if s.fresh {
		s.fresh = false
		return os.RemoveAll(s.dir)
	}
	return s.sweep()
}

type dirBranch struct{ dirSink }

func (b *dirBranch) drop() error { return os.RemoveAll(b.dir) }

// nowhere takes blocks and forgets them.
type nowhere struct{}

func (nowhere) Put(context.Context, cid.Cid, []byte) error { return nil }
