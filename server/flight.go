package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// lifetime owns the goroutines that outlive a request.
type lifetime struct {
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex // orders start before end
	wg     sync.WaitGroup
	log    *slog.Logger
}

func newLifetime(log *slog.Logger) *lifetime {
	l := &lifetime{log: log}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// start runs fn in a goroutine; the error says that the server was closed.
func (l *lifetime) start(fn func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ctx.Err(); err != nil {
		return fmt.Errorf("the server is closed: %w", err)
	}
	l.wg.Go(fn)
	return nil
}

func (l *lifetime) end() {
	l.mu.Lock()
	l.cancel()
	l.mu.Unlock()
	l.wg.Wait()
}

// flights do the same work for all who ask for it at the same time. The work
// goes on when one who waits for it goes away.
type flights[K comparable, V any] struct {
	life    *lifetime
	timeout time.Duration
	mu      sync.Mutex
	running map[K]*flight[V]
}

type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

func newFlights[K comparable, V any](life *lifetime, timeout time.Duration) *flights[K, V] {
	return &flights[K, V]{life: life, timeout: timeout, running: map[K]*flight[V]{}}
}

// join starts fn for key, or joins the run that is under way. What fn takes of the
// budget is held for whoever asked first, whose context is asking, and when others
// wait for that the run is cut.
func (f *flights[K, V]) join(asking context.Context, key K, fn func(context.Context) (V, error)) *flight[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if run, ok := f.running[key]; ok {
		return run
	}
	run := &flight[V]{done: make(chan struct{})}
	origin := budget.OriginOf(asking)
	err := f.life.start(func() {
		ctx, cancel := context.WithTimeout(f.life.ctx, f.timeout)
		defer cancel()
		ctx, cut := context.WithCancelCause(ctx)
		defer cut(nil)
		began := time.Now()
		ctx = budget.With(ctx, &budget.Holder{
			Origin: origin, Moved: func() time.Time { return began }, Cut: func() { cut(errCut) },
		})
		run.value, run.err = contain(ctx, f.life, fn)
		if run.err != nil && context.Cause(ctx) == errCut {
			run.err = errCut
		}
		f.mu.Lock()
		delete(f.running, key)
		f.mu.Unlock()
		close(run.done)
	})
	if err != nil {
		run.err = err
		close(run.done)
		return run
	}
	f.running[key] = run
	return run
}

// contain turns a panic of fn, which would end the process, into an error.
func contain[V any](ctx context.Context, life *lifetime, fn func(context.Context) (V, error)) (value V, err error) {
	defer func() {
		if p := recover(); p != nil {
			life.log.Error("panic", "panic", p, "stack", string(debug.Stack()))
			err = errInternal
		}
	}()
	return fn(ctx)
}

func (f *flight[V]) wait(ctx context.Context) (V, error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}
