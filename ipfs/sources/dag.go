package sources

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Streamer is a source that sends whole DAGs in one answer.
type Streamer interface {
	// Stream calls yield for the blocks of the DAG under c, checked, each
	// before its children and those in the order of links. A block may occur
	// once though it is linked several times. It ends with yield's error, or
	// one that matches [ipfs.ErrNotFound], [ipfs.ErrUnavailable],
	// [ipfs.ErrCorrupt], or [errors.ErrUnsupported] when there are no streams
	// of any DAG.
	Stream(ctx context.Context, c cid.Cid, yield func(c cid.Cid, data []byte) error) error
}

const (
	minStreamed = 4        // leaves below which single blocks are as fast
	window      = 16 << 20 // bytes of a stream that wait to be asked for
	nearProbes  = 16       // links looked for in near sources before a stream
)

// DAG reads the blocks under one node. For a file that is read from the start
// on, [DAG.Stream] has the whole DAG streamed from the source that gave its
// first block, or got ahead by a [Fetcher]; single blocks are asked for where
// that fails or stalls. It is safe for concurrent use and must be closed.
type DAG struct {
	set    *Set
	root   cid.Cid
	places *places      // for single blocks
	came   atomic.Int64 // bytes of the stream

	mu       sync.Mutex
	changed  chan struct{} // closed at each change
	from     *Source       // to stream from; nil when that is of no use
	origin   *Source       // that gave the root; nil when that is not known, or it was near
	whole    bool          // it is going to be read from some point to its end
	fetching *fetch        // by a [Fetcher]; nil when that is of no use
	closed   bool
	data     []byte // of the root
	running  bool
	cancel   context.CancelFunc
	ended    chan struct{} // closed with the stream
	blocks   map[string][]byte
	buffered int
	expected map[string]bool // linked from what came; false when it was given out
}

// DAG makes a reader of the DAG under root.
func (s *Set) DAG(root cid.Cid) *DAG {
	return &DAG{set: s, root: root, places: newPlaces(), changed: make(chan struct{})}
}

// Close ends the stream and waits for it.
func (d *DAG) Close() error {
	d.mu.Lock()
	cancel, ended, fetching := d.cancel, d.ended, d.fetching
	d.closed, d.fetching = true, nil
	d.mu.Unlock()
	if fetching != nil {
		fetching.release()
	}
	if cancel != nil {
		cancel()
		<-ended
	}
	return nil
}

// Get gives one block of the DAG; errors match those of [Set.Get].
func (d *DAG) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if c.Equals(d.root) {
		return d.top(ctx)
	}
	if data := d.await(ctx, c); data != nil {
		return data, nil
	}
	if data := d.fetched(ctx, c); data != nil {
		return data, nil
	}
	return d.single(ctx, c)
}

// top gives the root's block.
func (d *DAG) top(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	data := d.data
	d.mu.Unlock()
	if data != nil {
		return data, nil
	}
	data, from, err := d.set.get(ctx, d.root)
	if err != nil {
		return nil, err
	}
	d.plan(ctx, from, data)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !from.near {
		d.origin = from
	}
	if d.root.Prefix().Codec == cid.DagProtobuf { // files ask for it again
		d.data = data
	}
	return data, nil
}

// plan decides, when the root has come, whether a stream is of use: not for
// small files, nor for what is near.
func (d *DAG) plan(ctx context.Context, from *Source, data []byte) {
	if from.near || from.dags == nil || from.noStream.Load() || d.root.Prefix().Codec != cid.DagProtobuf {
		return
	}
	links, err := ipfs.Links(d.root, data)
	if err != nil || !isLong(links) || d.set.hasNear(ctx, links) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from != nil {
		return
	}
	d.from = from
	d.blocks, d.expected = map[string][]byte{}, map[string]bool{}
	d.expect(links)
}

// isLong tells whether a file is worth a stream of its own.
func isLong(links []*ipld.Link) bool {
	return len(links) >= minStreamed || len(links) > 0 && links[0].Cid.Prefix().Codec != cid.Raw
}

// hasNear tells whether near sources hold some of the linked blocks.
func (s *Set) hasNear(ctx context.Context, links []*ipld.Link) bool {
	for i := 0; i < len(links); i += max(1, len(links)/nearProbes) {
		for _, from := range s.near {
			if from.answering() != nil {
				continue
			}
			if _, err := from.get(ctx, links[i].Cid); err == nil {
				return true
			}
		}
	}
	return false
}

func (d *DAG) expect(links []*ipld.Link) {
	for _, l := range links {
		if key := string(l.Cid.Hash()); !d.expected[key] {
			if _, given := d.expected[key]; !given {
				d.expected[key] = true
			}
		}
	}
}

// Stream says that the DAG, whose first block was read, is going to be read from
// its start on. It starts a stream if that is of use.
func (d *DAG) Stream() {
	d.Ahead()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from == nil || d.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, d.cancel = context.WithCancel(d.set.ctx)
	ctx = ipfs.WithProgress(ctx, func(n int) { d.came.Add(int64(n)) })
	d.ended, d.running = make(chan struct{}), true
	err := d.set.start(func() {
		err := d.from.dags.Stream(ctx, d.root, func(c cid.Cid, data []byte) error { return d.put(ctx, c, data) })
		d.end(ctx, err)
	})
	if err != nil {
		d.running = false
		close(d.ended)
	}
}

// Ahead says that much of the DAG is going to be read, from some point on. A
// [Fetcher] gets it ahead of the reader then.
func (d *DAG) Ahead() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.whole = true
}

// end notes that the stream is over.
func (d *DAG) end(ctx context.Context, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case errors.Is(err, ipfs.ErrCorrupt):
		d.from.Report(ctx, err)
	case err != nil && ctx.Err() == nil: // that there is no stream now says nothing of single blocks
		d.set.opts.Logger.Debug("going on with single blocks", "source", d.from.name, "error", err)
		if errors.Is(err, errors.ErrUnsupported) {
			d.from.noStream.Store(true)
		}
	}
	d.running = false
	close(d.ended)
	d.change()
}

func (d *DAG) change() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// put takes a block of the stream and waits while too many are unasked for.
func (d *DAG) put(ctx context.Context, c cid.Cid, data []byte) error {
	if c.Equals(d.root) {
		return nil
	}
	key := string(c.Hash())
	var links []*ipld.Link
	if c.Prefix().Codec == cid.DagProtobuf {
		var err error
		if links, err = ipfs.Links(c, data); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted, known := d.expected[key]
	if !known {
		return fmt.Errorf("%s: %w: block %s, which it sends, is not linked under %s", d.from, ipfs.ErrCorrupt, c, d.root)
	}
	d.expect(links)
	if _, twice := d.blocks[key]; !wanted || twice {
		return nil
	}
	d.blocks[key] = data
	d.buffered += len(data)
	d.change()
	for d.buffered >= window {
		changed := d.changed
		d.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		d.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// await gives a block that the stream brings; nil when it is to be got on its
// own, because it was given out before, or the stream has ended, stands still,
// or is far away from it.
func (d *DAG) await(ctx context.Context, c cid.Cid) []byte {
	came, hedge := d.came.Load(), d.set.opts.Hedge
	stall := time.NewTimer(hedge)
	defer stall.Stop()
	for {
		data, changed := d.take(c)
		if changed == nil {
			return data
		}
		select {
		case <-changed:
			stall.Reset(hedge)
		case <-ctx.Done():
			return nil
		case <-stall.C:
			before := came
			if came = d.came.Load(); float64(came-before) < minRate*hedge.Seconds() {
				d.from.demote()
				d.cancel()
				return nil
			}
			stall.Reset(hedge)
		}
	}
}

// take takes a block out of the stream; changed is nil unless it is yet to come.
func (d *DAG) take(c cid.Cid) (data []byte, changed <-chan struct{}) {
	key := string(c.Hash())
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel == nil { // no stream
		return nil, nil
	}
	data, here := d.blocks[key]
	wanted, known := d.expected[key]
	single := known && !wanted || !d.running || d.buffered >= window
	if !here && !single {
		return nil, d.changed
	}
	delete(d.blocks, key)
	d.buffered -= len(data)
	d.expected[key] = false
	d.change()
	return data, nil
}
