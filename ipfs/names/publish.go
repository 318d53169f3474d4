package names

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
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
	results  *prometheus.CounterVec // records that were sent, by result

	mu    sync.Mutex
	sent  map[told]sent
	busy  map[told]bool        // what is under way
	asked map[string]time.Time // when others were last asked for a name before it was moved or told of
	every time.Duration        // how often sinks are told again of what has not changed
	wake  chan struct{}        // there is something to do
	last  turn                 // of Run
}

// PublisherOptions say who is told of what a [Publisher] moves.
type PublisherOptions struct {
	Sinks  []ipfs.RecordSink // nobody when empty
	Logger *slog.Logger      // nil for silence
}

// NewPublisher makes a publisher of a store's keys, whose resolver is of the same store.
func NewPublisher(store *Store, resolver *Resolver, o PublisherOptions) *Publisher {
	return &Publisher{store: store, resolver: resolver, sinks: o.Sinks, log: silent.Logger(o.Logger), sent: map[told]sent{}, busy: map[told]bool{}, asked: map[string]time.Time{}, every: republishEvery, wake: make(chan struct{}, 1), results: metricSent.Counters("taken", "failed")}
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
func (p *Publisher) Ask(ctx context.Context, k Key) error { return p.ask(ctx, k, askFirst) }

// ask is Ask for at most some time.
func (p *Publisher) ask(ctx context.Context, k Key, most time.Duration) error {
	l, err := p.store.load(k.Name)
	if err != nil || !l.has() && !l.imported() { // the key was made here, and nothing was signed yet
		return err
	}
	ask, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	_, told, unsure := p.resolver.Newest(ask, k.Name)
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	p.asked[k.Name] = time.Now()
	p.mu.Unlock()
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

// askSoon is Ask for at most some time, and only if others were not asked within the TTL of
// what is kept of a name. The error matches [ErrOtherWriter].
func (p *Publisher) askSoon(ctx context.Context, k Key, l loaded, most time.Duration) error {
	p.mu.Lock()
	last, asked := p.asked[k.Name]
	p.mu.Unlock()
	if p.resolver.isAlone() || asked && time.Since(last) < l.seen.ttl() {
		return nil
	}
	return p.ask(ctx, k, most)
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
		p.awake()
	}
	return r, err
}

// awake has Run look again at once.
func (p *Publisher) awake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
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
			err := p.put(ctx, sink, r)
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

// put tells one sink of a record, and counts that.
func (p *Publisher) put(ctx context.Context, sink ipfs.RecordSink, r Record) error {
	err := sink.PutRecord(ctx, r.Name, r.Raw)
	result := "taken"
	if err != nil {
		result = "failed"
	}
	p.results.WithLabelValues(result).Inc()
	return err
}
