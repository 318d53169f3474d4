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
	linger  time.Duration // for which it goes on when nobody waits any more; 0 until it ends
	mu      sync.Mutex
	running map[K]*flight[V]
}

type flight[V any] struct {
	done  chan struct{}
	value V
	err   error

	leave   func() // of one who waits; nil where the work goes on
	waiting int    // guarded by the flights, as is the next
	left    time.Time
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
		run.waiting++
		return run
	}
	run := &flight[V]{done: make(chan struct{}), waiting: 1}
	origin := budget.OriginOf(asking)
	living, cut := context.WithCancelCause(f.life.ctx)
	err := f.life.start(func() {
		defer cut(nil)
		ctx, cancel := context.WithTimeout(living, f.timeout)
		defer cancel()
		began := time.Now()
		ctx = budget.With(ctx, &budget.Holder{
			Origin: origin, Moved: func() time.Time { return f.moved(run, began) }, Cut: func() { cut(errCut) },
		})
		run.value, run.err = contain(ctx, f.life, fn)
		if run.err != nil && context.Cause(ctx) == errCut {
			run.err = errCut
		}
		f.drop(key, run)
		close(run.done)
	})
	if err != nil {
		cut(nil)
		run.err = err
		close(run.done)
		return run
	}
	if f.linger > 0 {
		run.leave = func() { f.leave(key, run, cut) }
	}
	f.running[key] = run
	return run
}

// moved is when work last went on, as those see it who wait for what it holds: where it
// ends without anybody who waits for it, it goes on for as long as there is somebody.
func (f *flights[K, V]) moved(run *flight[V], began time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.linger == 0:
		return began
	case run.waiting > 0:
		return time.Now()
	}
	return run.left
}

// leave ends the work some time after the last who waits for it has gone.
func (f *flights[K, V]) leave(key K, run *flight[V], cut context.CancelCauseFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if run.waiting--; run.waiting > 0 || f.running[key] != run {
		return
	}
	run.left = time.Now()
	time.AfterFunc(f.linger, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if run.waiting == 0 && time.Since(run.left) >= f.linger && f.running[key] == run {
			delete(f.running, key)
			cut(context.Canceled)
		}
	})
}

func (f *flights[K, V]) drop(key K, run *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running[key] == run {
		delete(f.running, key)
	}
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
	if f.leave != nil {
		defer f.leave()
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}
