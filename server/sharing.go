package server

import (
	"context"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
)

// sharing has all who want a block at the same time get it once. It goes on for as long
// as one of them wants it.
type sharing struct {
	life  *lifetime
	mu    sync.Mutex
	under map[cid.Cid]*sharedBlock
}

// sharedBlock is a block that is on its way.
type sharedBlock struct {
	done    chan struct{}
	data    []byte
	err     error
	waiting int // guarded by the sharing
	cancel  context.CancelFunc
}

func newSharing(life *lifetime) *sharing {
	return &sharing{life: life, under: map[cid.Cid]*sharedBlock{}}
}

// get gives what fetch does, or what it does for somebody else; its errors are those of
// fetch, and ctx's.
func (s *sharing) get(ctx context.Context, c cid.Cid, fetch func(context.Context, cid.Cid) ([]byte, error)) ([]byte, error) {
	b, err := s.join(ctx, c, fetch)
	if err != nil {
		return nil, err
	}
	defer s.leave(c, b)
	select {
	case <-b.done:
		return b.data, b.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *sharing) join(ctx context.Context, c cid.Cid, fetch func(context.Context, cid.Cid) ([]byte, error)) (*sharedBlock, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.under[c]
	if b == nil {
		b = &sharedBlock{done: make(chan struct{})}
		ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
		if err := s.life.start(func() {
			b.data, b.err = contain(ctx, s.life, func(ctx context.Context) ([]byte, error) { return fetch(ctx, c) })
			s.drop(c, b)
			close(b.done)
		}); err != nil {
			b.cancel()
			return nil, err
		}
		s.under[c] = b
	}
	b.waiting++
	return b, nil
}

// leave ends what nobody wants any more.
func (s *sharing) leave(c cid.Cid, b *sharedBlock) {
	s.mu.Lock()
	b.waiting--
	last := b.waiting == 0
	if last && s.under[c] == b {
		delete(s.under, c)
	}
	s.mu.Unlock()
	if last {
		b.cancel()
	}
}

func (s *sharing) drop(c cid.Cid, b *sharedBlock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.under[c] == b {
		delete(s.under, c)
	}
}

// maxYield is how long a block waits for those of small ranges, at most: whoever reads
// all of a blob goes on, too.
const maxYield = 250 * time.Millisecond

// turns lets blocks of small ranges, which a program waits for, go before those of
// whoever takes a blob as a whole. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	small int           // blocks of small ranges that are on their way
	idle  chan struct{} // closed when there are none; nil until somebody waits
}

// enter notes that a block of a small range is on its way, until leave is called.
func (t *turns) enter() (leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.small++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.small--; t.small == 0 && t.idle != nil {
			close(t.idle)
			t.idle = nil
		}
	}
}

// yield waits while blocks of small ranges are on their way, but not for long.
func (t *turns) yield(ctx context.Context) {
	t.mu.Lock()
	if t.small == 0 {
		t.mu.Unlock()
		return
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	patience := time.NewTimer(maxYield)
	defer patience.Stop()
	select {
	case <-idle:
	case <-patience.C:
	case <-ctx.Done():
	}
}
