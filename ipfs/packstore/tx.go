package packstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	maxBuffered = 8 << 20 // bytes that the buffers of a transaction's branches may hold together
	smallPart   = 4 << 20 // a kept branch up to this size becomes part of the main pack
)

// tx is a publication. Unlike [ipfs.Tx] demands, it and its branches may be
// used concurrently.
type tx struct {
	s   *Store
	era string // of the store when the publication began

	mu       sync.Mutex
	view     *view    // of the index; newer when gc has moved what was looked for
	moved    bool     // view is not that of the beginning
	relies   reliance // on blocks of views
	section  []byte   // buffer of look
	main     *part
	branches []*part
	buffered int
	failed   error // the first failed write; what came after is lost
	done     bool

	revise    func(is, was ipfs.Record) ipfs.Record // has the last word about what is recorded; nil for nobody
	learnt    []record                              // to be remembered by Commit
	memory    memory                                // what was remembered, once it has been read
	remembers bool                                  // memory has been read
}

var _ ipfs.Memory = (*tx)(nil)

// part is the pack of a transaction or of one of its branches.
type part struct {
	tx      *tx
	w       *packWriter
	blocks  map[key]span
	dropped bool
}

// span is where a block of a part lies: a location, and the block's own length.
type span struct {
	off        int64
	size, data uint32
}

// Begin starts a publication. Garbage may be collected meanwhile, by any process: what
// the publication puts, and finds to be there already, stays.
// Blocks are not hashed when they are put: whoever made their CIDs has done so.
// A crashed publication's files are removed by the next GC.
func (s *Store) Begin(ctx context.Context) (ipfs.Tx, error) { return s.begin(ctx) }

func (s *Store) begin(ctx context.Context) (*tx, error) {
	t := &tx{s: s}
	unlock, err := s.dir.share(ctx)
	if err == nil {
		err = errors.Join(t.open(), unlock())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s cannot be written: %w", s, err), t.end())
	}
	return t, nil
}

func (t *tx) open() (err error) {
	if t.era, err = t.s.dir.beginEra(); err != nil {
		return err
	}
	if t.view, err = t.s.index.refresh(); err != nil {
		return err
	}
	if t.main, err = t.newPart(); err != nil {
		return err
	}
	return t.main.w.open() // finds out now whether files can be made
}

func (t *tx) newPart() (*part, error) {
	w, err := newPackWriter(t.s.dir)
	return &part{tx: t, w: w, blocks: map[key]span{}}, err
}

// Branch implements [ipfs.Tx].
func (t *tx) Branch() (ipfs.Branch, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.newPart()
	if err != nil {
		return nil, err
	}
	t.branches = append(t.branches, p)
	return p, nil
}

// Put implements [ipfs.Putter].
func (t *tx) Put(ctx context.Context, c cid.Cid, data []byte) error {
	return t.main.Put(ctx, c, data)
}

// PutNew implements [ipfs.Teller].
func (t *tx) PutNew(ctx context.Context, c cid.Cid, data []byte) (added bool, err error) {
	return t.main.PutNew(ctx, c, data)
}

// Put implements [ipfs.Putter].
func (p *part) Put(ctx context.Context, c cid.Cid, data []byte) error {
	_, err := p.PutNew(ctx, c, data)
	return err
}

// PutNew implements [ipfs.Teller].
func (p *part) PutNew(ctx context.Context, c cid.Cid, data []byte) (added bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if codec := c.Prefix().Codec; codec != cid.DagProtobuf && codec != cid.Raw {
		return false, fmt.Errorf("block %s: the store keeps dag-pb and raw blocks only", c)
	}
	if len(data) > maxBlock {
		return false, fmt.Errorf("block %s has %d bytes, the store takes %d", c, len(data), maxBlock)
	}
	t := p.tx
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable(p); err != nil {
		return false, err
	}
	k := keyOf(c)
	if p.has(k) || t.main.has(k) {
		return false, nil
	}
	if left, err := t.reuse(ctx, c, data); err != nil || left {
		return false, err
	}
	held := cap(p.w.buf)
	loc, err := p.w.append(c, data)
	if err == nil && t.buffered+cap(p.w.buf)-held > maxBuffered {
		err = p.w.flush()
		p.w.buf = nil
	}
	t.buffered += cap(p.w.buf) - held
	if err != nil {
		t.failed = fmt.Errorf("writing block %s to %s: %w", c, t.s, err)
		return false, t.failed
	}
	p.blocks[k] = span{off: loc.off, size: loc.size, data: uint32(len(data))}
	return true, nil
}

func (t *tx) usable(p *part) error {
	switch {
	case t.done:
		return errors.New("publication has ended")
	case p.dropped:
		return errors.New("branch was dropped")
	}
	return t.failed
}

func (p *part) has(k key) bool {
	_, ok := p.blocks[k]
	return ok
}

// reuse tells whether the store has a block already, and puts it right if it is damaged.
func (t *tx) reuse(ctx context.Context, c cid.Cid, data []byte) (left bool, err error) {
	found, err := t.look(ctx, c)
	if err == nil {
		left, err = t.heal(c, data, &found)
	}
	if left {
		t.relies.on(keyOf(c), found)
	}
	if err != nil {
		t.failed = fmt.Errorf("relying on %s: %w", t.s, err)
	}
	return left, t.failed
}

// Drop implements [ipfs.Branch].
func (p *part) Drop() error {
	p.tx.mu.Lock()
	defer p.tx.mu.Unlock()
	if p.dropped || p.tx.done {
		return nil
	}
	p.dropped = true
	p.tx.buffered -= cap(p.w.buf)
	p.blocks = nil
	return p.w.discard()
}

// Abort implements [ipfs.Tx].
func (t *tx) Abort() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return nil
	}
	return t.end()
}

// end releases everything, and removes the packs that were not placed.
func (t *tx) end() error {
	t.done = true
	var errs []error
	for _, p := range t.parts() {
		if p == nil { // it could not begin
			continue
		}
		errs = append(errs, p.w.discard())
		p.blocks, p.w.buf = nil, nil
	}
	for _, f := range t.relies.opened { // of an aborted publication: what it put right may stay or not
		errs = append(errs, f.Close())
	}
	for _, id := range t.relies.claimed {
		errs = append(errs, t.s.claims.release(id))
	}
	t.relies.opened, t.relies.claimed, t.relies.found = nil, nil, nil
	return errors.Join(errs...)
}
