package page

import (
	"context"
	"errors"
	"sync"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// together does the same work once for all who ask for it at the same time. The first of
// them does it; where that one gives up, the next does. The zero value is ready.
type together[K comparable, V any] struct {
	mu      sync.Mutex
	running map[K]*work[V]
}

type work[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// do gives what fn gives, to whoever is first; to others what the first got, unless that
// says nothing of the thing itself, see [settled]. Errors are fn's, or ctx's.
func (t *together[K, V]) do(ctx context.Context, key K, fn func() (V, error)) (value V, err error) {
	for {
		w, first := t.begin(key)
		if first {
			defer t.end(key, w)
			w.value, w.err = fn()
			return w.value, w.err
		}
		select {
		case <-w.done:
		case <-ctx.Done():
			return value, ctx.Err()
		}
		if w.err == nil || settled(w.err) {
			return w.value, w.err
		}
		if err := ctx.Err(); err != nil {
			return value, err
		}
	}
}

func (t *together[K, V]) begin(key K) (w *work[V], first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w, ok := t.running[key]; ok {
		return w, false
	}
	if t.running == nil {
		t.running = map[K]*work[V]{}
	}
	w = &work[V]{done: make(chan struct{}), err: context.Canceled} // which it is after a panic
	t.running[key] = w
	return w, true
}

func (t *together[K, V]) end(key K, w *work[V]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, key)
	close(w.done)
}

// settled tells whether an error is about what was read. Others are about the server at this
// moment: it is busy, somebody has gone, or what has it cannot be asked.
func settled(err error) bool {
	for _, passes := range []error{context.Canceled, context.DeadlineExceeded, budget.ErrFull, ipfs.ErrUnavailable} {
		if errors.Is(err, passes) {
			return false
		}
	}
	for _, lasts := range []error{oci.ErrCorrupt, oci.ErrNotFound, oci.ErrManifestInvalid, oci.ErrLimit} {
		if errors.Is(err, lasts) {
			return true
		}
	}
	return false
}
