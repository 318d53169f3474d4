package names

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// question is put to all sources at once.
type question struct {
	began   time.Time
	settled chan struct{} // closed when the answer is good enough to be used
	done    chan struct{} // closed when all have answered
}

// entry is what is known of asking for a name; r.mu is held.
func (r *Resolver) entry(name string) *asked {
	a := r.asked[name]
	if a == nil {
		if len(r.asked) >= maxAsked {
			for other, old := range r.asked {
				if old.running == nil {
					delete(r.asked, other)
				}
			}
		}
		a = &asked{}
		r.asked[name] = a
	}
	return a
}

// ask puts a question to all sources, unless they are being asked, or were a moment ago;
// nil when they are not asked now.
func (r *Resolver) ask(name string) *question {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.entry(name)
	if a.running != nil {
		return a.running
	}
	if len(r.sources) == 0 || r.ctx.Err() != nil {
		return nil
	}
	q := &question{began: time.Now(), settled: make(chan struct{}), done: make(chan struct{})}
	a.running = q
	r.tasks.Go(func() { r.put(name, q) })
	return q
}

// await waits until the name was asked for: for somebody who has an answer no longer
// than what it takes to hear a newer one.
func (r *Resolver) await(ctx context.Context, name string, has bool) error {
	r.mu.Lock()
	a := r.entry(name)
	failed, recent := a.failed, a.running == nil && a.failed != nil && time.Since(a.ended) < askAgain
	r.mu.Unlock()
	if recent {
		return failed
	}
	q := r.ask(name)
	if q == nil {
		return r.nobody(name)
	}
	if has && time.Since(q.began) > settle { // somebody has waited already
		return nil
	}
	var late <-chan time.Time
	if has {
		t := time.NewTimer(settle)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-q.settled:
		return nil
	case <-late:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: asking for %s: %w", ipfs.ErrUnavailable, name, context.Cause(ctx))
	}
}

// nobody is the error about a name for which there is nobody to ask.
func (r *Resolver) nobody(name string) error {
	if len(r.sources) > 0 {
		return fmt.Errorf("%w: asking for %s: this program ends", ipfs.ErrUnavailable, name)
	}
	err := fmt.Errorf("%w: no record of %s is here, and there is nobody to ask: add --gateway, --peers, --routing or --api", ErrUnknown, name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entry(name).failed = err
	return err
}

// put asks all sources, and keeps what they tell as it comes.
func (r *Resolver) put(name string, q *question) {
	answer := &answer{r: r, name: name, q: q}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-r.ctx.Done():
		answer.end(fmt.Errorf("%w: this program ends", ipfs.ErrUnavailable))
		return
	}
	timer := time.AfterFunc(settle, answer.late)
	defer timer.Stop()
	var all sync.WaitGroup
	for _, s := range r.sources {
		all.Go(func() { answer.take(s) })
	}
	all.Wait()
	answer.end(nil)
}

// answer is what has come of a question.
type answer struct {
	r    *Resolver
	name string
	q    *question

	mu      sync.Mutex
	told    bool // a source has told what is the newest here now, or newer
	waited  bool // settle is over
	settled bool
	errs    []error
}

// take asks one source.
func (a *answer) take(s ipfs.RecordSource) {
	ctx, cancel := context.WithTimeout(a.r.ctx, askTimeout)
	defer cancel()
	raw, age, err := s.Record(ctx, a.name)
	var rec Record
	if err == nil {
		rec, err = Verify(a.name, raw)
	}
	heard := time.Now().Add(-max(age, 0))
	if err == nil {
		err = a.r.store.take(rec, heard)
	}
	if err != nil && !errors.Is(err, ipfs.ErrNotFound) && a.r.ctx.Err() == nil {
		a.r.log.Warn("what a source says of a name does not count", "name", a.name, "source", s.String(), "error", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.errs = append(a.errs, fmt.Errorf("%s: %w", s, err))
		return
	}
	a.told = true
	a.r.mu.Lock()
	e := a.r.entry(a.name)
	if e.told = time.Now(); heard.After(e.heard) {
		e.heard = heard
	}
	a.r.mu.Unlock()
	a.settle()
}

// late ends the time in which answers are compared.
func (a *answer) late() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waited = true
	a.settle()
}

// settle lets those go on who wait for an answer, if there is one; a.mu is held.
func (a *answer) settle() {
	if a.waited && a.told && !a.settled {
		a.settled = true
		close(a.q.settled)
	}
}

// end tells that all were asked.
func (a *answer) end(why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.r.mu.Lock()
	e := a.r.entry(a.name)
	e.running, e.ended, e.failed = nil, time.Now(), nil
	if !a.told {
		e.failed = a.unknown(why)
	}
	a.r.mu.Unlock()
	if !a.settled {
		a.settled = true
		close(a.q.settled)
	}
	close(a.q.done)
}

// unknown is why no source has told of the name: that it is unknown, if all say so.
func (a *answer) unknown(why error) error {
	var errs []error
	for _, err := range a.errs {
		if !errors.Is(err, ipfs.ErrNotFound) || errors.Is(err, ipfs.ErrUnavailable) {
			errs = append(errs, err)
		}
	}
	if errs = append(errs, why); errors.Join(errs...) == nil {
		return fmt.Errorf("%w: nobody has a record of %s: %w", ErrUnknown, a.name, errors.Join(a.errs...)) // each says that
	}
	return fmt.Errorf("no record of %s can be had: %w", a.name, errors.Join(errs...))
}
