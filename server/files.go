package server

import (
	"context"
	"errors"
	"net/http"
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
	// minAhead is how many bytes a request must ask for to have more of the
	// blob fetched than it reads.
	minAhead = 2 << 20
	// maxWhole is how many blobs are remembered as wholly in the own store.
	maxWhole = 10_000
)

// blobFile is a file of a blob, read from the own store or from elsewhere.
type blobFile struct {
	*ipfs.File
	dag *sources.DAG // nil for the own store's
}

// Close stops what is read ahead.
func (f *blobFile) Close() error {
	if f.dag == nil {
		return f.File.Close()
	}
	err := f.File.Close() // first: it has no single blocks asked for in place of what the DAG was to bring
	return errors.Join(err, f.dag.Close())
}

// openFile opens the file of a blob where this server may read it.
func (s *Server) openFile(w *response, r *request, c cid.Cid) (f *blobFile, err error) {
	w.source = "local"
	if s.cfg.Open && !s.isLocal(r.Context(), c) {
		w.source = "remote"
		f, err = s.openRemote(r, c)
	} else {
		g := s.local
		if s.cfg.Open {
			g = ipfs.First(s.local, spare{s, c})
		}
		f, err = s.open(r.Context(), g, c, s.cfg.LocalAhead)
	}
	if isAbsent(err) && !s.cfg.Open {
		return nil, s.refusal(r.root)
	}
	return f, absent(codeBlobUnknown, err)
}

// open opens a file of which ahead blocks are read ahead.
func (s *Server) open(ctx context.Context, g ipfs.Getter, c cid.Cid, ahead int) (*blobFile, error) {
	if ahead > 0 {
		var err error
		if ahead, err = s.streams.begin(ctx, ahead); err != nil {
			return nil, err
		}
	}
	f, err := ipfs.OpenFile(ctx, g, c, ahead)
	if err != nil {
		return nil, err
	}
	return &blobFile{File: f}, nil
}

// openRemote opens a file of which some blocks, or all, are elsewhere.
func (s *Server) openRemote(r *request, c cid.Cid) (*blobFile, error) {
	dag, ahead := s.foreign.DAG(c), remoteAhead
	if r.Method == http.MethodHead {
		ahead = 0 // the first block tells that there is a blob
	} else if rangeLength(r.Header.Get("Range")) >= minAhead {
		dag.Ahead()
	}
	f, err := s.open(r.Context(), ipfs.First(s.local, remoteDAG{dag}), c, ahead)
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
	p.s.whole.forget(p.file)
	return p.s.foreign.Get(ctx, c)
}

// remoteDAG gives the blocks of a DAG from elsewhere to clients.
type remoteDAG struct{ *sources.DAG }

func (d remoteDAG) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := d.DAG.Get(ctx, c)
	return data, hidden(err)
}

// finder is an own store that tells without reading whether it has a block.
type finder interface {
	Has(ctx context.Context, c cid.Cid) bool
}

// isLocal tells whether a file is in the own store: wholly, where the store can
// tell that at little cost, else its first block.
func (s *Server) isLocal(ctx context.Context, c cid.Cid) bool {
	store, ok := s.local.(finder)
	if !ok {
		_, err := s.local.Get(ctx, c)
		return err == nil
	}
	if _, known := s.whole.get(c); known {
		return store.Has(ctx, c)
	}
	whole := true
	err := ipfs.Blocks(ctx, s.local, c, 0, func(c cid.Cid, _ int64) bool {
		whole = whole && store.Has(ctx, c)
		return whole
	})
	if whole = whole && err == nil; whole {
		s.whole.put(c, struct{}{}, 1)
	}
	return whole
}

// rangeLength is how many bytes a Range of the form bytes=N-M asks for, at most;
// others, and none, may ask for all.
func rangeLength(rangeHeader string) int64 {
	first, last, ok := strings.Cut(strings.TrimPrefix(rangeHeader, "bytes="), "-")
	if !ok {
		return 1 << 62
	}
	from, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	if err != nil {
		return 1 << 62
	}
	to, err := strconv.ParseInt(strings.TrimSpace(last), 10, 64)
	if err != nil || to < from {
		return 1 << 62
	}
	return to - from + 1
}
