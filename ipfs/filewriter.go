package ipfs

import (
	"context"
	"sync/atomic"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/layer"
)

// writeBehind is how many blocks of a file may wait to be put while the next
// are cut and hashed.
const writeBehind = 4

// fileWriter puts the blocks of one file, one after the other, while the caller
// goes on, and releases the memory of its leaves.
type fileWriter struct {
	ctx    context.Context
	p      Putter
	blocks chan fileBlock
	done   chan struct{}
	failed atomic.Pointer[error] // the first; what came after was not put
}

type fileBlock struct {
	cid  cid.Cid
	data []byte
}

func newFileWriter(ctx context.Context, p Putter) *fileWriter {
	w := &fileWriter{ctx: ctx, p: p, blocks: make(chan fileBlock, writeBehind), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *fileWriter) run() {
	defer close(w.done)
	for b := range w.blocks {
		if w.failed.Load() != nil {
			continue
		}
		if err := w.p.Put(w.ctx, b.cid, b.data); err != nil {
			w.failed.Store(&err)
		}
		if b.cid.Type() == cid.Raw {
			layer.Release(b.data)
		}
	}
}

// Put takes a block, whose memory the writer then owns. The error is that of an
// earlier block.
func (w *fileWriter) Put(_ context.Context, c cid.Cid, data []byte) error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	w.blocks <- fileBlock{c, data}
	return nil
}

// close waits for the last block. The error is the first of all.
func (w *fileWriter) close() error {
	close(w.blocks)
	<-w.done
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}
