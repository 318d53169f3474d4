package names

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Publisher moves names whose keys are in a store, and tells sinks of it.
type Publisher struct {
	store    *Store
	resolver *Resolver // of the same store
	sinks    []ipfs.RecordSink
	log      *slog.Logger
	told     *prometheus.CounterVec // records, by result

	mu    sync.Mutex
	sent  map[string]sent // by name
	every time.Duration   // how often sinks are told again of what has not changed
	wake  chan struct{}   // a name was moved
	last  turn            // of Run
}

// PublisherOptions say who is told of what a [Publisher] moves.
type PublisherOptions struct {
	Sinks  []ipfs.RecordSink // nobody when empty
	Logger *slog.Logger      // nil for silence
}

// NewPublisher makes a publisher of a store's keys, whose resolver is of the same store.
func NewPublisher(store *Store, resolver *Resolver, o PublisherOptions) *Publisher {
	return &Publisher{store: store, resolver: resolver, sinks: o.Sinks, log: silent.Logger(o.Logger), sent: map[string]sent{}, every: republishEvery, wake: make(chan struct{}, 1), told: metricSent.Counters("taken", "failed")}
}

// Move says how a name is moved.
type Move struct {
	Lifetime time.Duration // of the record; what it was when 0, and [DefaultLifetime] at first
	TTL      time.Duration // likewise, [DefaultTTL]
	// Force moves a name that somebody else has moved, or of whose last record nobody
	// could be asked.
	Force bool
	// OnlyReplaces moves the name only if it means one of Replaces now.
	OnlyReplaces bool
	Replaces     []cid.Cid
	// Asked says that [Publisher.Ask] has succeeded, without which an imported key moves
	// nothing.
	Asked bool
}

// askFirst is how long sources may take to tell what the newest record of a name is that
// is about to be moved.
const askFirst = 10 * time.Second

// Ask has all sources asked for the newest record of a key's name, before that is moved.
// Errors match [ErrOtherWriter] when it was not signed here, [ErrUnsure] when the key was
// imported and nobody has told a record now; other names can be moved while nobody answers.
func (p *Publisher) Ask(ctx context.Context, k Key) error {
	l, err := p.store.load(k.Name)
	if err != nil || !l.has() && !l.imported() { // the key was made here, and nothing was signed yet
		return err
	}
	ask, cancel := context.WithTimeout(ctx, askFirst)
	defer cancel()
	_, told, unsure := p.resolver.Newest(ask, k.Name)
	if err := ctx.Err(); err != nil {
		return err
	}
	if l, err = p.store.load(k.Name); err != nil {
		return err
	}
	switch {
	case l.imported() && !told:
		return k.unsure(cmp.Or(unsure, errors.New("all who were asked know none")))
	case unsure != nil && !p.resolver.isAlone():
		p.log.Warn("not everybody could be asked for the newest record of a name", "name", k.Name, "error", unsure)
	}
	return l.checkOwner(k)
}

// unsure is the error about an imported key of whose last record nobody has told.
func (k Key) unsure(why error) error {
	return fmt.Errorf("%w: the key %s was imported, or what was kept of its name is lost, and nobody has told the last record of %s: %w; import it with that record (name export --record), let others be asked (--peers, --routing, --api, --gateway), or move it all the same with --force", ErrUnsure, k.Alias, k.Name, why)
}

// checkOwner gives an error that matches [ErrOtherWriter] for a name that somebody else
// has moved.
func (l loaded) checkOwner(k Key) error {
	if l.Stopped == "" && (l.imported() || !l.has() || len(l.Mine) > 0 && l.seen.isOf(l.mine)) {
		return nil
	}
	return fmt.Errorf("%w: %s, key %s: sequence %d means %s and was not signed here: end the other machine's publishing first (image2ipfs name rm there), or take the name over with --force", ErrOtherWriter, k.Name, k.Alias, l.seen.Sequence, l.seen.Value)
}

// Publish has a name mean a path that value gives, "/ipfs/<cid>", from now on. Whoever
// moves the same name waits meanwhile, so that the last value is the last record. It is
// signed with a higher sequence than any that was seen, and lasts on disk before it is
// told to anybody, which [Publisher.Send] does. Errors match [ErrOtherWriter], [ErrUnsure], or
// [ErrNoKey] when the key is not here any more.
func (p *Publisher) Publish(ctx context.Context, k Key, m Move, value func(context.Context) (string, error)) (r Record, err error) {
	err = p.store.change(k.Name, func(st *state) error {
		if err := p.store.checkHeld(k); err != nil {
			return err
		}
		l := loaded{state: *st}
		for raw, to := range map[*[]byte]*Record{&l.Record: &l.seen, &l.Mine: &l.mine} {
			if len(*raw) > 0 {
				if *to, err = verify(k.Name, *raw); err != nil {
					return err
				}
			}
		}
		if err := l.checkOwner(k); err != nil && !m.Force {
			return err
		}
		if l.imported() && !m.Asked && !m.Force {
			return k.unsure(errors.New("nobody was asked"))
		}
		if l.seen.Sequence == math.MaxUint64 {
			return fmt.Errorf("%w: %s, key %s: its last record has the highest sequence that there is, %d, so the name can move no more; make another (image2ipfs name create)", ErrKey, k.Name, k.Alias, l.seen.Sequence)
		}
		if err := m.checkReplaced(l); err != nil {
			return err
		}
		path, err := value(ctx)
		if err != nil {
			return err
		}
		st.Lifetime = firstOf(m.Lifetime, st.Lifetime, DefaultLifetime)
		st.TTL = firstOf(m.TTL, st.TTL, DefaultTTL)
		if r, err = sign(k.priv, k.Name, path, l.seen.Sequence+1, time.Now().Add(st.Lifetime), st.TTL); err != nil {
			return err
		}
		st.take(r)
		st.Mine, st.Got, st.Stopped = r.Raw, time.Now(), ""
		return nil
	})
	if err == nil {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	return r, err
}

func firstOf(all ...time.Duration) time.Duration {
	for _, d := range all {
		if d > 0 {
			return d
		}
	}
	return 0
}

// Sent is what became of telling others.
type Sent struct {
	To     []string // sinks that took the record
	Failed error    // of the others; nil for none
}

// sendTimeout is how long one sink may take: a DHT takes its time.
const sendTimeout = time.Minute

// Send tells all sinks of a record.
func (p *Publisher) Send(ctx context.Context, r Record) (s Sent) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, sink := range p.sinks {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, sendTimeout)
			defer cancel()
			err := sink.PutRecord(ctx, r.Name, r.Raw)
			p.count(err)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.Failed = errors.Join(s.Failed, fmt.Errorf("%s: %w", sink, err))
			} else {
				s.To = append(s.To, sink.String())
			}
		})
	}
	all.Wait()
	return s
}

// count counts a record that was sent.
func (p *Publisher) count(err error) {
	result := "taken"
	if err != nil {
		result = "failed"
	}
	p.told.WithLabelValues(result).Inc()
}

// sent is what sinks were last told of a name.
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
// so from the last record on disk, so nothing is lost when the process is killed. A name
// that another machine has moved is left alone, and the log says so.
func (p *Publisher) Run(ctx context.Context) {
	complained := map[string]string{}
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
		var all sync.WaitGroup
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
			if len(l.Mine) > 0 && p.due(l) {
				all.Go(func() { p.again(ctx, k, l) })
			}
		}
		all.Wait()
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
	return p.sent[name].failing > 0
}

// due tells whether sinks have to be told of what is kept of a name.
func (p *Publisher) due(l loaded) bool {
	if l.isHalfOver() {
		return true
	}
	if len(p.sinks) == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.sent[l.mine.Name]
	pause := p.every
	if last.failing > 0 {
		pause = min(tryAgain<<min(last.failing-1, 10), p.every)
	}
	return last.sequence != l.mine.Sequence || !last.until.Equal(l.mine.Until) || time.Since(last.at) >= pause
}

// isHalfOver tells whether the record signed here has to be signed anew.
func (l loaded) isHalfOver() bool {
	return time.Until(l.mine.Until) < firstOf(l.Lifetime, DefaultLifetime)/2
}

// again tells all sinks of a name once more.
func (p *Publisher) again(ctx context.Context, k Key, l loaded) {
	p.mu.Lock()
	last := p.sent[k.Name]
	p.mu.Unlock()
	moved := last.sequence != l.mine.Sequence || last.at.IsZero()
	if !moved || l.isHalfOver() {
		if err := p.Ask(ctx, k); err != nil { // told by Run, which sees that it is stopped
			if !errors.Is(err, ErrOtherWriter) && ctx.Err() == nil {
				p.log.Warn("a name is not published again", "name", k.Name, "key", k.Alias, "because", err)
			}
			return
		}
	}
	r := l.mine
	if l.isHalfOver() {
		var err error
		if r, err = p.renew(k); err != nil {
			p.log.Warn("a name is not published again", "name", k.Name, "key", k.Alias, "because", err)
			return
		}
	}
	s := p.Send(ctx, r)
	if ctx.Err() != nil {
		return
	}
	now := sent{sequence: r.Sequence, until: r.Until, at: time.Now()}
	level := slog.LevelDebug
	if s.Failed != nil {
		if now.failing = last.failing + 1; last.failing == 0 {
			level = slog.LevelWarn
		}
	} else if moved || last.failing > 0 {
		level = slog.LevelInfo
	}
	p.mu.Lock()
	p.sent[k.Name] = now
	p.mu.Unlock()
	attrs := []any{"name", k.Name, "key", k.Alias, "sequence", r.Sequence, "value", r.Value, "valid until", r.Until.UTC().Format(time.RFC3339), "told", strings.Join(s.To, ", ")}
	if s.Failed != nil {
		attrs = append(attrs, "error", s.Failed)
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
