package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/legacy"
)

// oldTrees opens what image2ipfs before 0.2.0 published.
type oldTrees struct {
	metadata ipfs.Getter
	local    ipfs.Getter
	layers   ipfs.Getter // where layers may be read whole by those for whom this server fetches
	// sizes are those of inflated layers that took inflating to know.
	sizes     *budget.Cache[cid.Cid, int64]
	measuring *flights[rootQuestion, int64]
	queue     chan struct{} // one for each layer that is or waits to be measured
	slots     chan struct{} // one for each layer being measured
	inflating *budget.Share
}

const (
	maxMeasured   = 10_000             // layers whose size is remembered
	maxQueued     = 64                 // layers that are or wait to be measured
	maxMeasuring  = 2                  // at once
	inflateCost   = leafSize + 256<<10 // bytes that a layer takes while it is decompressed: a block, windows and buffers
	measurePeriod = 30 * time.Minute   // for one layer
)

func newOldTrees(life *lifetime, local, metadata ipfs.Getter, f *foreign, memory *budget.Budget) *oldTrees {
	return &oldTrees{
		metadata: metadata, local: local, layers: ipfs.First(local, f),
		sizes:     budget.NewCache[cid.Cid, int64](maxMeasured, 256, memory),
		measuring: newFlights[rootQuestion, int64](life, measurePeriod),
		queue:     make(chan struct{}, maxQueued),
		slots:     make(chan struct{}, maxMeasuring),
		inflating: memory.Inflating,
	}
}

// read opens the tree under root. The error matches [ipfs.ErrNotFound] when there
// is none.
func (o *oldTrees) read(ctx context.Context, root cid.Cid) (reader, error) {
	t, err := legacy.Open(ctx, o.metadata, root, o.size)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// size is the [legacy.Sizer] of the server. A size that cannot be read from
// the file's end is found out once, in the background; who asks is told to
// come back if that takes too long.
func (o *oldTrees) size(ctx context.Context, c cid.Cid) (int64, error) {
	if n, ok := o.sizes.Get(c); ok {
		return n, nil
	}
	n, sure, err := legacy.QuickSize(ctx, o.metadata, c)
	if sure || err != nil {
		return n, err
	}
	if _, err := o.local.Get(ctx, c); err != nil && !mayFetch(ctx) {
		return 0, errorf(codeDenied, "%s", hintInflate)
	}
	n, err = o.measure(ctx, c).wait(ctx)
	if err != nil && ctx.Err() != nil {
		return 0, errorf(codeUnavailable, "layer %s, which an older image2ipfs published, is being measured: try again in a moment", c)
	}
	return n, err
}

// measure starts finding out a size, if that is not under way, with the right of
// the request whose context is asking.
func (o *oldTrees) measure(asking context.Context, c cid.Cid) *flight[int64] {
	layers := o.local
	if mayFetch(asking) {
		layers = o.layers
	}
	return o.measuring.join(asking, rootQuestion{c, mayFetch(asking)}, func(ctx context.Context) (int64, error) {
		select {
		case o.queue <- struct{}{}:
			defer func() { <-o.queue }()
		default:
			return 0, errorf(codeTooMany, "%d layers of older versions are being measured already: try again", maxQueued)
		}
		select {
		case o.slots <- struct{}{}:
			defer func() { <-o.slots }()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		n, err := legacy.Measure(withRight(ctx, mayFetch(asking)), layers, c)
		if err == nil {
			o.sizes.Put(c, n, 1)
		}
		return n, err
	})
}

const hintInflate = "a layer that image2ipfs 0.1.0 published has to be decompressed by this server, in whose store it is not; " +
	"start it with --open to let it fetch and stream what others published"

// inflatedBlob streams a blob whose file is gzip. No gateway has these bytes,
// so clients are never redirected.
func (s *Server) inflatedBlob(w *response, r *request, d digest.Digest, b registry.Place) error {
	if !mayFetch(r.Context()) {
		if _, err := s.local.Get(r.Context(), b.CID); err != nil {
			return errorf(codeDenied, "%s", hintInflate)
		}
	}
	release, err := borrow(r.Context(), s.old.inflating, inflateCost, "too many layers are being decompressed")
	if err != nil {
		return err
	}
	defer release()
	f, err := s.openFile(w, r, b.CID)
	if err != nil {
		return err
	}
	defer f.Close()
	content := legacy.NewInflated(f.File, d, b.Size)
	defer content.Close()
	w.Header().Set("Content-Type", typeBlob)
	if err := s.serveInflated(w, r.Request, content); err != nil {
		s.suspectSize(r.Context(), b.CID, r.root, err)
		return fmt.Errorf("layer of an older image2ipfs: %w", err)
	}
	return nil
}

// serveInflated serves content after its first wanted byte has come.
func (s *Server) serveInflated(w *response, r *http.Request, content *legacy.Inflated) error {
	if one := wanted(r.Header.Get("Range"), content.Size()); one.length > 0 && r.Header.Get("If-None-Match") == "" {
		if _, err := content.Seek(one.start, io.SeekStart); err != nil {
			return err
		}
		if err := content.Prepare(); err != nil {
			return absent(codeBlobUnknown, err)
		}
	}
	return serveContent(w, r, content)
}

// suspectSize has a layer measured that did not end where its trailer says: it
// may have 4 GiB more. The next pull then gets a manifest that is right.
func (s *Server) suspectSize(asking context.Context, c, root cid.Cid, err error) {
	if _, known := s.old.sizes.Get(c); known || !errors.Is(err, oci.ErrCorrupt) {
		return
	}
	measured := s.old.measure(asking, c)
	_ = s.life.start(func() { // fails when the server is closing
		if _, err := measured.wait(s.life.ctx); err == nil {
			s.roots.opened.Forget(root)
		}
	})
}
