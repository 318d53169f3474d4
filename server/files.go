package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
)

const (
	// remoteAhead is how many blocks of a foreign blob are fetched at once; kept
	// far below the 512 at which bitswap breaks down.
	remoteAhead = 16
	// minAhead is how many bytes a range must have for peers to be asked for the blob
	// from there on, of which up to 16 MiB are on their way behind what is read. What
	// readers of single files ask for is smaller: that alone is fetched, in front of
	// the rest, and kept for a while.
	minAhead = 8 << 20
	// leafSize is the most that a block of a blob holds, as blobs are cut here.
	leafSize = 1 << 20
	// maxWhole is how many blobs are remembered as wholly in the own store.
	maxWhole = 10_000
)

// blobFile is a file of a blob, read from the own store or from elsewhere.
type blobFile struct {
	*ipfs.File
	dag     *sources.DAG // nil for the own store's
	release func()       // lets go of the own store's; nil for others
}

// Close stops what is read ahead.
func (f *blobFile) Close() error {
	if f.release != nil {
		defer f.release()
	}
	if f.dag == nil {
		return f.File.Close()
	}
	err := f.File.Close() // first: it has no single blocks asked for in place of what the DAG was to bring
	return errors.Join(err, f.dag.Close())
}

// openFile opens the file of a blob where this server may read it.
func (s *Server) openFile(w *response, r *request, c cid.Cid) (f *blobFile, err error) {
	w.source = "local"
	may := mayFetch(r.Context())
	if may && !s.isLocal(r.Context(), c) {
		w.source = "remote"
		f, err = s.openRemote(r, c)
	} else {
		f, err = s.openLocal(r.Request, c, may)
	}
	if isAbsent(err) && !may {
		return nil, s.refusal(r)
	}
	return f, absent(codeBlobUnknown, err)
}

// openLocal opens a file of the own store, of which no block is missing and none goes
// before it is closed. For whom this server fetches, others help out.
func (s *Server) openLocal(r *http.Request, c cid.Cid, may bool) (*blobFile, error) {
	g, release, err := ipfs.Hold(r.Context(), s.local, c)
	if err != nil && may && isAbsent(err) { // some went a moment ago
		g, release, err = s.local, func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if may {
		g = ipfs.First(g, spare{s, c})
	}
	f, err := s.open(r, g, c, s.cfg.LocalAhead)
	if err != nil {
		release()
		return nil, err
	}
	f.release = release
	return f, nil
}

// open opens a file for a request, of which up to most blocks are read ahead; none for
// HEAD, for which the first block tells that there is a file. What the request does not
// ask for is not read ahead either, see [expect].
func (s *Server) open(r *http.Request, g ipfs.Getter, c cid.Cid, most int) (*blobFile, error) {
	ahead := 0
	if most > 0 && r.Method != http.MethodHead {
		var err error
		if ahead, err = s.streams.begin(r.Context(), most, rangesOf(r)); err != nil {
			return nil, err
		}
	}
	f, err := ipfs.OpenFile(r.Context(), g, c, ahead)
	if err != nil {
		return nil, err
	}
	return &blobFile{File: f}, nil
}

// openRemote opens a file of which some blocks, or all, are elsewhere.
func (s *Server) openRemote(r *request, c cid.Cid) (*blobFile, error) {
	dag := s.foreign.DAG(c)
	bulk := r.Method != http.MethodHead && slices.Max(rangesOf(r.Request)) >= minAhead
	if bulk {
		dag.Ahead()
	}
	f, err := s.open(r.Request, ipfs.First(s.local, remoteDAG{dag, s.foreign, bulk}), c, remoteAhead)
	if err != nil {
		return nil, errors.Join(err, dag.Close())
	}
	f.dag = dag
	return f, nil
}

// spare gives blocks of a file that was taken to be in the own store. The next
// who opens it takes it to be elsewhere.
type spare struct {
	s    *Server
	file cid.Cid
}

func (p spare) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	p.s.whole.Forget(p.file)
	return p.s.foreign.Get(ctx, c)
}

// remoteDAG gives the blocks of a DAG from elsewhere to clients: each once to all who
// want it at the same time, and to small ranges first. What small ranges have asked for,
// and nodes above leaves, are remembered, since who reads single files asks for what lies
// beside them soon.
type remoteDAG struct {
	*sources.DAG
	from *foreign
	bulk bool // of a request for more than single files
}

func (d remoteDAG) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := d.from.blocks.Get(c); ok {
		return data, nil
	}
	if d.bulk {
		d.from.turns.yield(ctx)
	} else {
		defer d.from.turns.enter()()
	}
	data, err := d.from.shared.get(ctx, c, d.DAG.Get)
	if err == nil && (!d.bulk || c.Prefix().Codec == cid.DagProtobuf) {
		d.from.keep(c, data)
	}
	return data, hidden(err)
}

// finder is an own store that tells without reading whether it has a block.
type finder interface {
	Has(ctx context.Context, c cid.Cid) bool
}

// hasBlock tells whether a block is in the own store.
func (s *Server) hasBlock(ctx context.Context, c cid.Cid) bool {
	if store, ok := s.local.(finder); ok {
		return store.Has(ctx, c)
	}
	_, err := s.local.Get(ctx, c)
	return err == nil
}

// isLocal tells whether a file is in the own store: wholly, where the store can
// tell that at little cost, else its first block.
func (s *Server) isLocal(ctx context.Context, c cid.Cid) bool {
	store, ok := s.local.(finder)
	if !ok {
		return s.hasBlock(ctx, c)
	}
	if _, known := s.whole.Get(c); known {
		return store.Has(ctx, c)
	}
	whole := true
	err := ipfs.Blocks(ctx, s.local, c, 0, func(c cid.Cid, _ int64) bool {
		whole = whole && store.Has(ctx, c)
		return whole
	})
	if whole = whole && err == nil; whole {
		s.whole.Put(c, struct{}{}, 1)
	}
	return whole
}

// rangeLength is how many bytes a Range of the form bytes=N-M or bytes=-N asks
// for, at most; others, and none, may ask for all.
func rangeLength(rangeHeader string) int64 {
	const all = 1 << 62
	first, last, _ := strings.Cut(strings.TrimPrefix(rangeHeader, "bytes="), "-")
	first = strings.TrimSpace(first)
	to, err := strconv.ParseInt(strings.TrimSpace(last), 10, 64)
	if err != nil || to < 0 {
		return all
	}
	if first == "" {
		return min(to, all)
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || to < from || from < 0 {
		return all
	}
	return min(to-from, all-1) + 1
}
