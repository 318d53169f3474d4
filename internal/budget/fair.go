package budget

import (
	"context"
	"fmt"
	"sync"
)

// Fair divides something among origins: of it nobody gets more than is left for the
// others then. Of n who want all of it one part in n+1 stays, so that who comes
// next finds some. It is for turns, which end by themselves; what is held for as long
// as a client likes is a [Share]'s. It is safe for concurrent use.
type Fair struct {
	name string
	size int64

	mu    sync.Mutex
	total int64
	held  map[string]int64 // by origin
	freed chan struct{}    // closed, and replaced, when some comes back
}

// NewFair divides size; name tells what it is.
func NewFair(name string, size int64) *Fair {
	return &Fair{name: name, size: size, held: map[string]int64{}, freed: make(chan struct{})}
}

// Try gives n to an origin if that is its to have now. What is more than one alone
// gets is that.
func (f *Fair) Try(origin string, n int64) (release func(), ok bool) {
	release, freed := f.take(origin, n)
	return release, freed == nil
}

// Take is Try that waits. The error matches [ErrFull] and ctx's.
func (f *Fair) Take(ctx context.Context, origin string, n int64) (release func(), err error) {
	for {
		release, freed := f.take(origin, n)
		if freed == nil {
			return release, nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s: %w", ErrFull, f.name, ctx.Err())
		}
	}
}

// Held is how much is given out.
func (f *Fair) Held() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

func (f *Fair) take(origin string, n int64) (release func(), freed <-chan struct{}) {
	n = min(n, f.size/2)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held[origin]+n > f.size-f.total {
		return nil, f.freed
	}
	f.total += n
	f.held[origin] += n
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.total -= n
		Less(f.held, origin, n)
		close(f.freed)
		f.freed = make(chan struct{})
	}), nil
}
