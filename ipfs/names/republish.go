package names

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// told says whom of what: a sink of a name.
type told struct {
	name string
	sink int // index of Publisher.sinks; -1 for the signing of the name
}

// sent is what one sink was last told of a name.
type sent struct {
	sequence uint64
	until    time.Time // of the record
	at       time.Time
	failing  int // times in a row
}

// Times of publishing again.
const (
	// republishEvery is how often sinks are told again of what has not changed: they
	// forget it, a DHT after two days, and others may have come.
	republishEvery = time.Hour
	// lookEvery is how soon a name is told of that another process has moved.
	lookEvery = time.Second
	// tryAgain is after which a sink that has failed is told again; the pause doubles up
	// to republishEvery.
	tryAgain = 15 * time.Second
	// maxTelling is of how many names one sink is told at once. One that is silent keeps
	// as many waiting, and no other sink.
	maxTelling = 64
)

// Start is Run in the background, until stop, which waits for its end.
func (p *Publisher) Start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

// Run publishes all names of the store again, until ctx ends: those that were moved at
// once, the others each hour, signed anew when half of their validity is over. It does
// so from the last record on disk, so nothing is lost when the process is killed. No sink
// waits for another one, and each is told the newest record. A name that another machine
// has moved is left alone, and the log says so.
func (p *Publisher) Run(ctx context.Context) {
	complained := map[string]string{}
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for ctx.Err() == nil {
		keys, damaged, err := p.store.readKeys()
		if err != nil && complained[""] != err.Error() {
			p.log.Warn("names are not published again", "error", err)
			complained[""] = err.Error()
		}
		for _, err := range damaged { // the others are published all the same
			if complained[err.Error()] == "" {
				p.log.Warn("a key is passed over, and its name not published again", "error", err)
				complained[err.Error()] = "said"
			}
		}
		now := turn{names: map[string]int{stateDamaged: len(damaged)}}
		for _, k := range keys {
			l, err := p.store.load(k.Name)
			if err == nil && l.Stopped != "" {
				err = errors.New(l.Stopped)
			}
			if err != nil {
				if complained[k.Name] != err.Error() {
					p.log.Warn("a name is not published again", "name", k.Name, "key", k.Alias, "because", err)
					complained[k.Name] = err.Error()
				}
				now.names[stateStopped]++
				continue
			}
			delete(complained, k.Name)
			now.add(l, p.isFailing(k.Name))
			if len(l.Mine) > 0 {
				p.look(ctx, &tasks, k, l)
			}
		}
		p.mu.Lock()
		p.last = now
		p.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-time.After(lookEvery):
		}
	}
}

// isFailing tells whether somebody was not told of a name when it was last sent.
func (p *Publisher) isFailing(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sinks {
		if p.sent[told{name, i}].failing > 0 {
			return true
		}
	}
	return false
}

// look begins what has to be done for a name: that it is signed anew, and that sinks are
// told.
func (p *Publisher) look(ctx context.Context, tasks *sync.WaitGroup, k Key, l loaded) {
	due := p.due(l)
	if !l.isHalfOver() && len(due) == 0 {
		return
	}
	done, ok := p.begin(told{k.Name, -1})
	if !ok {
		return
	}
	tasks.Go(func() {
		defer done()
		r, ok := p.prepare(ctx, k, l)
		if !ok {
			return
		}
		for _, i := range p.due(loaded{mine: r}) {
			if done, ok := p.begin(told{k.Name, i}); ok {
				tasks.Go(func() {
					defer done()
					p.tell(ctx, k, r, i)
				})
			}
		}
	})
}

// begin notes that something is under way; ok is false when it is already, or when its sink
// is told of very many names.
func (p *Publisher) begin(t told) (done func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	telling := 0
	for other := range p.busy {
		if other.sink == t.sink {
			telling++
		}
	}
	if p.busy[t] || telling >= maxTelling {
		return nil, false
	}
	p.busy[t] = true
	return func() {
		p.mu.Lock()
		delete(p.busy, t)
		p.mu.Unlock()
		if telling+1 >= maxTelling { // another one waits for it
			p.awake()
		}
	}, true
}

// due lists the sinks that have to be told of what is kept of a name, and are not being
// told.
func (p *Publisher) due(l loaded) (sinks []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sinks {
		t := told{l.mine.Name, i}
		last := p.sent[t]
		pause := p.every
		if last.failing > 0 {
			pause = min(tryAgain<<min(last.failing-1, 10), p.every)
		}
		if !p.busy[t] && (!last.hasTold(l.mine) || time.Since(last.at) >= pause) {
			sinks = append(sinks, i)
		}
	}
	return sinks
}

// isNews tells whether there are sinks that were not told yet what a name means.
func (p *Publisher) isNews(r Record) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sinks {
		if last := p.sent[told{r.Name, i}]; last.at.IsZero() || last.sequence != r.Sequence {
			return true
		}
	}
	return false
}

// hasTold tells whether it is of this record that a sink was told.
func (s sent) hasTold(r Record) bool {
	return !s.at.IsZero() && s.sequence == r.Sequence && s.until.Equal(r.Until)
}

// isHalfOver tells whether the record signed here has to be signed anew.
func (l loaded) isHalfOver() bool {
	return time.Until(l.mine.Until) < firstOf(l.Lifetime, DefaultLifetime)/2
}

// prepare gives the record of a name that sinks are to be told, after others were asked
// whether there is a newer one; ok is false when there is none to tell.
func (p *Publisher) prepare(ctx context.Context, k Key, l loaded) (r Record, ok bool) {
	var err error
	switch {
	case l.isHalfOver():
		err = p.Ask(ctx, k)
	case p.isNews(l.mine):
		err = p.askSoon(ctx, k, l, settle)
	default:
		err = p.askSoon(ctx, k, l, askFirst)
	}
	r = l.mine
	if err == nil && l.isHalfOver() {
		r, err = p.renew(k)
	}
	if err == nil {
		return r, true
	}
	if !errors.Is(err, ErrOtherWriter) && ctx.Err() == nil { // that is told by Run, which sees that it is stopped
		p.log.Warn("a name is not published again", "name", k.Name, "key", k.Alias, "because", err)
	}
	return r, false
}

// tell tells one sink of a name.
func (p *Publisher) tell(ctx context.Context, k Key, r Record, sink int) {
	t := told{k.Name, sink}
	p.mu.Lock()
	last := p.sent[t]
	p.mu.Unlock()
	sending, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := p.put(sending, p.sinks[sink], r)
	if ctx.Err() != nil {
		return
	}
	now := sent{sequence: r.Sequence, until: r.Until, at: time.Now()}
	level := slog.LevelDebug
	if err != nil {
		if now.failing = last.failing + 1; last.failing == 0 {
			level = slog.LevelWarn
		}
	} else if last.sequence != r.Sequence || last.at.IsZero() || last.failing > 0 {
		level = slog.LevelInfo
	}
	p.mu.Lock()
	p.sent[t] = now
	p.mu.Unlock()
	attrs := []any{"name", k.Name, "key", k.Alias, "sequence", r.Sequence, "value", r.Value, "valid until", r.Until.UTC().Format(time.RFC3339), "to", fmt.Sprint(p.sinks[sink])}
	if err != nil {
		p.log.Log(ctx, level, "a name could not be published", append(attrs, "error", err)...)
		return
	}
	p.log.Log(ctx, level, "name published", attrs...)
}

// renew signs once more what a name means, with a later end.
func (p *Publisher) renew(k Key) (r Record, err error) {
	err = p.store.change(k.Name, func(st *state) error {
		if err := p.store.checkHeld(k); err != nil {
			return err
		}
		old, err := verify(k.Name, st.Mine)
		if err != nil {
			return err
		}
		if r, err = sign(k.priv, k.Name, old.Value, old.Sequence, time.Now().Add(firstOf(st.Lifetime, DefaultLifetime)), firstOf(st.TTL, DefaultTTL)); err != nil {
			return err
		}
		st.take(r)
		st.Mine, st.Got = r.Raw, time.Now()
		return nil
	})
	return r, err
}
