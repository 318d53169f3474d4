package sources

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/semaphore"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	firstPlaces = 4 // single blocks of a DAG that are asked for at once, at first
	fewPlaces   = 2 // over the slowest link
	maxPlaces   = 1024
	// slowFraction of Options.Fetch is slow for a block of a source that does not
	// tell of its progress.
	slowFraction = 4
)

// places bound how many single blocks of a DAG are asked for at once, in the
// order in which they are asked for: as many as make good use of the link, and
// no more, since those that share a slow one all come late.
type places struct {
	free *semaphore.Weighted

	mu sync.Mutex
	n  int64
}

func newPlaces() *places {
	p := &places{free: semaphore.NewWeighted(maxPlaces), n: firstPlaces}
	p.free.TryAcquire(maxPlaces - firstPlaces)
	return p
}

// leave gives a place back: after a block that was fast one more than there
// were, after a slow one one less.
func (p *places) leave(slow bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	back := int64(1)
	switch {
	case !slow && p.n < maxPlaces:
		back = 2
	case slow && p.n > fewPlaces:
		back = 0
	}
	p.n += back - 1
	p.free.Release(back)
}

// single gives a block that neither a stream nor a [Fetcher] brings.
func (d *DAG) single(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := d.places.free.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	asked := time.Now()
	var first atomic.Pointer[time.Time] // when bytes came
	data, err := d.set.Get(ipfs.WithProgress(ctx, func(int) {
		if first.Load() == nil {
			now := time.Now()
			first.CompareAndSwap(nil, &now)
		}
	}), c)
	slow := time.Since(asked) > d.set.opts.Fetch/slowFraction
	if began := first.Load(); began != nil {
		slow = time.Since(*began) > d.set.opts.Hedge // however long the source looked for it
	}
	d.places.leave(slow || err != nil)
	return data, err
}
