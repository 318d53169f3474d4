package names

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// question is put to all sources at once.
type question struct {
	name    string
	ctx     context.Context // ends with the question
	cancel  context.CancelFunc
	wanted  int // how many wait for it; r.mu is held
	began   time.Time
	settled chan struct{} // closed when the answer is good enough to be used
	done    chan struct{} // closed when all have answered
}

// entry is what is known of asking for a name; r.mu is held.
func (r *Resolver) entry(name string) *asked {
	a := r.asked[name]
	if a == nil {
		a = &asked{}
		r.asked[name] = a
		if !r.Listed(name) { // of domains there are as many as the owner has chosen
			r.forgetOldest()
			r.order = append(r.order, name)
		}
	}
	return a
}

// forgetOldest makes room for what is known of one more name; r.mu is held.
func (r *Resolver) forgetOldest() {
	for range r.order {
		if len(r.order) < maxAsked {
			return
		}
		oldest := r.order[0]
		r.order = r.order[1:]
		if r.asked[oldest].running == nil {
			delete(r.asked, oldest)
		} else {
			r.order = append(r.order, oldest)
		}
	}
}

// ask puts a question to all sources, unless they are being asked; nil when there are
// none. Who waits for it has to leave it. The error matches [ipfs.ErrUnavailable] when too
// many wait.
func (r *Resolver) ask(name string, waits bool) (*question, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isAlone() || r.ctx.Err() != nil {
		return nil, nil
	}
	a := r.asked[name]
	if a == nil || a.running == nil {
		if len(r.questions) >= maxAsking+maxWaiting {
			return nil, fmt.Errorf("%w: asking for %s: others are being asked for %d names already, try again", ipfs.ErrUnavailable, name, len(r.questions))
		}
		a = r.entry(name)
		a.running = r.begin(name)
	}
	if waits {
		a.running.wanted++
	}
	return a.running, nil
}

// begin begins a question. Where all slots are taken it is given that of one which
// nobody waits for; r.mu is held.
func (r *Resolver) begin(name string) *question {
	if len(r.questions) >= maxAsking {
		for other := range r.questions {
			if other.wanted == 0 {
				r.drop(other)
				break
			}
		}
	}
	q := &question{name: name, began: time.Now(), settled: make(chan struct{}), done: make(chan struct{})}
	q.ctx, q.cancel = context.WithCancel(r.ctx)
	r.questions[q] = true
	r.tasks.Go(func() { r.put(name, q) })
	return q
}

// leave is for who has waited for a question. One that nobody waits for goes on, since a
// DHT takes its time and somebody may ask again, but not while others wait for a slot.
func (r *Resolver) leave(q *question) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.wanted--; q.wanted == 0 && len(r.questions) > maxAsking {
		r.drop(q)
	}
}

// drop ends a question of which nothing is remembered then; r.mu is held.
func (r *Resolver) drop(q *question) {
	q.cancel()
	delete(r.questions, q)
	if a := r.asked[q.name]; a != nil && a.running == q {
		a.running = nil
	}
}

// await waits until the name was asked for: for somebody who has an answer no longer
// than what it takes to hear a newer one.
func (r *Resolver) await(ctx context.Context, name string, has bool) error {
	r.mu.Lock()
	var failed error
	if a := r.asked[name]; a != nil && a.running == nil && time.Since(a.ended) < askAgain {
		failed = a.failed
	}
	r.mu.Unlock()
	if failed != nil {
		return failed
	}
	q, err := r.ask(name, true)
	if err != nil {
		return err
	}
	if q == nil {
		return r.nobody(name, has)
	}
	defer r.leave(q)
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

// nobody is the error about a name for which there is nobody to ask; has tells that there
// is a record of it here.
func (r *Resolver) nobody(name string, has bool) error {
	if !r.isAlone() {
		return fmt.Errorf("%w: asking for %s: this program ends", ipfs.ErrUnavailable, name)
	}
	err := fmt.Errorf("%w: no record of %s is here, and %s", ErrUnknown, name, r.advice)
	if has {
		err = fmt.Errorf("%w: %s", ipfs.ErrUnavailable, r.advice)
	}
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
	case <-q.ctx.Done():
		answer.end(fmt.Errorf("%w: this program ends", ipfs.ErrUnavailable))
		return
	}
	timer := time.AfterFunc(settle, answer.late)
	defer timer.Stop()
	var all sync.WaitGroup
	for _, s := range r.sources {
		all.Go(func() { answer.take(s) })
	}
	for _, s := range r.several {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(q.ctx, askTimeout)
			defer cancel()
			s.Records(ctx, name, answer.heard)
		})
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
	ctx, cancel := context.WithTimeout(a.q.ctx, askTimeout)
	defer cancel()
	if a.r.others {
		ctx = ipfs.ForOthers(ctx)
	}
	raw, age, err := s.Record(ctx, a.name)
	a.heard(s.String(), raw, age, err)
}

// heard takes what one source says.
func (a *answer) heard(from string, raw []byte, age time.Duration, err error) {
	var rec Record
	if err == nil {
		rec, err = Verify(a.name, raw)
	}
	heard := time.Now().Add(-max(age, 0))
	if err == nil {
		err = a.r.store.take(rec, heard)
	}
	if err != nil && !errors.Is(err, ipfs.ErrNotFound) && a.q.ctx.Err() == nil && (!errors.Is(err, ErrOlder) || !a.r.store.isMine(a.name)) {
		a.r.warn("what a source says of a name does not count", "name", a.name, "source", from, "error", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.errs = append(a.errs, fmt.Errorf("%s: %w", from, err))
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
	a.q.cancel()
	delete(a.r.questions, a.q)
	if e := a.r.asked[a.name]; e != nil && e.running == a.q { // else it was dropped
		e.running, e.ended, e.failed = nil, time.Now(), nil
		if !a.told {
			e.failed = a.unknown(why)
		}
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
	var errs, idle []error
	var said []string // by those that have none
	none := "nobody has a record of"
	for _, err := range a.errs {
		switch {
		case errors.Is(err, ErrOlder):
			none = "nobody tells what is here, or newer, of"
			said = append(said, err.Error())
		case errors.Is(err, ipfs.ErrNobody):
			idle = append(idle, err)
		case !errors.Is(err, ipfs.ErrNotFound) || errors.Is(err, ipfs.ErrUnavailable):
			errs = append(errs, err)
		default:
			said = append(said, err.Error())
		}
	}
	if len(said) == 0 {
		errs = append(errs, idle...)
	}
	if len(a.errs) == 0 && why == nil {
		why = fmt.Errorf("%w: nobody who was asked answers", ipfs.ErrUnavailable)
	}
	if errs = append(errs, why); errors.Join(errs...) == nil {
		for _, err := range idle {
			said = append(said, err.Error())
		}
		return fmt.Errorf("%w: %s %s: %s", ErrUnknown, none, a.name, strings.Join(said, "; "))
	}
	err := fmt.Errorf("no record of %s can be had: %w", a.name, errors.Join(errs...))
	if len(said) > 0 { // as text, since the name is not unknown
		err = fmt.Errorf("%w; %s", err, strings.Join(said, "; "))
	}
	return err
}
