package names

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Options say whom a [Resolver] asks.
type Options struct {
	// Sources are asked for records, all at once; without any, only what is kept is
	// told.
	Sources []ipfs.RecordSource
	// Several are more of them, of which it is not known how many there are.
	Several []ipfs.RecordsSource
	// Domains are those whose DNSLink may be asked for.
	Domains []string
	// DNS asks for TXT records; the system's resolver when nil.
	DNS LookupTXT
	// Advice says what would have a name found where there is nobody to ask; "" for that
	// sources are to be added.
	Advice string
	// ForOthers says that it is a server which asks, see [ipfs.ForOthers].
	ForOthers bool
	// Logger is told what is refused, and what cannot be heard; nil for none.
	Logger *slog.Logger
}

// Times of asking.
const (
	// settle is within which answers are compared, and the newest wins.
	settle = 2 * time.Second
	// askTimeout bounds one question to one source: a DHT takes its time.
	askTimeout = time.Minute
	// askAgain is after which a name that nobody has told of is asked for again.
	askAgain = 5 * time.Second
	// maxAsking is for how many names others are asked at once.
	maxAsking = 64
	// maxWaiting is for how many more it is remembered that they are to be asked.
	maxWaiting = 256
	// maxAsked is of how many names it is remembered what came of asking.
	maxAsked = 4096
	// logBurst lines about questions are logged at once, and then one in each logPause:
	// strangers choose what is asked.
	logBurst, logPause = 20, 6 * time.Second
)

// Resolver finds what names mean. It implements [ipfs.Names] and must be closed.
type Resolver struct {
	store   *Store
	sources []ipfs.RecordSource
	several []ipfs.RecordsSource
	domains []string
	lookup  LookupTXT
	advice  string
	others  bool // ask for these
	log     *slog.Logger
	lines   *budget.Rates // of log about questions
	unsaid  atomic.Int64  // that were left out since the last

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	slots  chan struct{}

	mu        sync.Mutex
	asked     map[string]*asked // by name or domain
	order     []string          // of asked the names, the oldest first; not the listed domains
	questions map[*question]bool
	meant     map[string]meant // by name or domain
}

// asked is what came of asking for a name.
type asked struct {
	running *question    // nil when nobody is asked now
	heard   time.Time    // when a source last heard what is the newest here; zero for never
	told    time.Time    // when it told so
	ended   time.Time    // when all were last asked
	failed  error        // what they said, when none told of the name
	link    link         // of a domain
	dns     *dnsQuestion // likewise; nil when it is not asked for now
}

var _ ipfs.Names = (*Resolver)(nil)

// NewResolver makes a resolver that remembers in a store.
func NewResolver(store *Store, o Options) *Resolver {
	r := &Resolver{
		store: store, sources: o.Sources, several: o.Several, domains: o.Domains, lookup: o.DNS,
		others: o.ForOthers,
		advice: cmp.Or(o.Advice, "there is nobody to ask: add --gateway, --peers, --routing or --api"),
		log:    silent.Logger(o.Logger), lines: budget.NewRates(logPause, logBurst),
		slots: make(chan struct{}, maxAsking), asked: map[string]*asked{}, questions: map[*question]bool{}, meant: map[string]meant{},
	}
	if r.lookup == nil {
		r.lookup = systemTXT
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// warn logs what came of a question, as often as strangers may have that happen.
func (r *Resolver) warn(text string, attrs ...any) {
	if r.lines.Try("") > 0 {
		r.unsaid.Add(1)
		return
	}
	if unsaid := r.unsaid.Swap(0); unsaid > 0 {
		attrs = append(attrs, "left out before", unsaid)
	}
	r.log.Warn(text, attrs...)
}

// Close ends what is under way and waits for it.
func (r *Resolver) Close() error {
	r.mu.Lock()
	r.cancel() // no question begins from here on
	r.mu.Unlock()
	r.tasks.Wait()
	return nil
}

// Listed implements [ipfs.Names].
func (r *Resolver) Listed(domain string) bool { return slices.Contains(r.domains, domain) }

// FindSoon is [Resolver.Find] for somebody who waits: it ends after as long as one
// question to one source may take.
func (r *Resolver) FindSoon(ctx context.Context, moving string) (ipfs.Meaning, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return r.Find(ctx, moving)
}

// Find implements [ipfs.Names]. What was heard within its TTL is told at once; else all
// sources are asked, and the newest answer within 2 s counts, but never an older one
// than was seen before. Where none answers, the last is told for as long as it is valid.
func (r *Resolver) Find(ctx context.Context, moving string) (m ipfs.Meaning, err error) {
	at := moving
	for len(m.Steps) < MaxSteps {
		m.Steps = append(m.Steps, at)
		var value string
		if ref.IsIPNS(at) {
			value, err = r.ipns(ctx, at, &m)
		} else {
			value, err = r.dnslink(ctx, at, &m)
		}
		if err != nil {
			return m, err
		}
		var next string
		if m.Root, next, err = target(at, value); err != nil {
			return m, err
		}
		if m.Root.Defined() {
			m.Before = r.remember(moving, m.Root, m.Before)
			return m, nil
		}
		if !ref.IsIPNS(next) && !r.Listed(next) {
			return m, fmt.Errorf("%w: %s leads to the domain %s, which is not one that may be asked for (--dnslink)", ErrNoRoot, at, next)
		}
		at = next
	}
	return m, fmt.Errorf("%w: more than %d names lead from one to the next: %v", ErrNoRoot, MaxSteps, m.Steps)
}

// heard adds what one step says about its age.
func heard(m *ipfs.Meaning, got, fresh, until time.Time, stale error) {
	first := len(m.Steps) == 1
	if first || got.Before(m.Got) {
		m.Got = got
	}
	if first || fresh.Before(m.Fresh) {
		m.Fresh = fresh
	}
	if m.Until.IsZero() || !until.IsZero() && until.Before(m.Until) {
		m.Until = until
	}
	m.Stale = errors.Join(m.Stale, stale)
}

// ipns gives the value of a name's record.
func (r *Resolver) ipns(ctx context.Context, name string, m *ipfs.Meaning) (value string, err error) {
	l, got, stale, err := r.newest(ctx, name)
	if err != nil {
		return "", err
	}
	if err := l.seen.checkValid(time.Now()); err != nil {
		return "", errors.Join(err, stale)
	}
	if len(m.Steps) == 1 {
		m.Sequence, m.Record = l.seen.Sequence, l.seen.Raw
	}
	m.Before = l.before() // of the last step, which moves most often
	heard(m, got, l.freshUntil(got), l.seen.Until, stale)
	return l.seen.Value, nil
}

// freshUntil is until when a record that was heard at a time is taken for the newest.
func (l loaded) freshUntil(got time.Time) time.Time {
	until := got.Add(l.seen.ttl())
	if l.seen.Until.Before(until) {
		return l.seen.Until
	}
	return until
}

// newest gives the newest record of a name that can be had, and when it was last heard.
// Stale says why nobody has confirmed it. The error matches [ErrUnknown],
// [ipfs.ErrUnavailable] or [ipfs.ErrCorrupt] when there is none at all.
func (r *Resolver) newest(ctx context.Context, name string) (l loaded, got time.Time, stale, err error) {
	begun := time.Now()
	if l, err = r.store.load(name); err != nil {
		return l, got, nil, err
	}
	if l.has() {
		got = r.lastHeard(name, l)
		if now, until := time.Now(), l.freshUntil(got); now.Before(until) {
			if until.Sub(now) < l.seen.ttl()/4 {
				_, _ = r.ask(name, false) // so that who asks next need not wait
			}
			return l, got, nil, nil
		}
	}
	if err := r.await(ctx, name, l.has()); err != nil && !l.has() {
		return l, got, nil, err
	}
	if l, err = r.store.load(name); err != nil {
		return l, got, nil, err
	}
	told, why := r.whyNot(name)
	if !l.has() {
		return l, got, nil, cmp.Or(why, fmt.Errorf("%w: nobody has a record of %s", ErrUnknown, name))
	}
	got = r.lastHeard(name, l)
	if time.Now().Before(l.freshUntil(got)) || told.After(begun) {
		return l, got, nil, nil
	}
	stale = cmp.Or(why, errors.New("nobody has answered yet"))
	r.warn("nobody tells what a name means now; the last answer counts", "name", name, "age", ageText(got), "sequence", l.seen.Sequence, "error", stale)
	return l, got, stale, nil
}

func ageText(got time.Time) string {
	if got.IsZero() {
		return "not known"
	}
	return time.Since(got).Round(time.Second).String()
}

// lastHeard is when a source last told that the record here is the newest; zero for never.
func (r *Resolver) lastHeard(name string, l loaded) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := l.got()
	if a := r.asked[name]; a != nil && a.heard.After(got) {
		return a.heard
	}
	return got
}

// whyNot is what the sources said who were last asked for a name, when none told of it,
// and when one last did.
func (r *Resolver) whyNot(name string) (told time.Time, failed error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.asked[name]; a != nil {
		return a.told, a.failed
	}
	return time.Time{}, nil
}

// Newest asks all sources for a name, waits for all of them, or until ctx ends, and gives
// the newest record that there is, none for none. Told says that a source has told one
// now, which is what is kept here or newer; unsure is what sources said that did not
// answer.
func (r *Resolver) Newest(ctx context.Context, name string) (rec Record, told bool, unsure error) {
	q, full := r.ask(name, true)
	if q != nil {
		defer r.leave(q)
		select {
		case <-q.done:
		case <-ctx.Done():
			unsure = fmt.Errorf("%w: not all have answered: %w", ipfs.ErrUnavailable, context.Cause(ctx))
		}
	}
	last, why := r.whyNot(name)
	told = q != nil && !last.Before(q.began)
	if !errors.Is(why, ErrUnknown) {
		unsure = errors.Join(unsure, why)
	}
	unsure = errors.Join(unsure, full)
	if r.isAlone() {
		unsure = fmt.Errorf("%w: there is nobody to ask", ipfs.ErrUnavailable)
	}
	l, err := r.store.load(name)
	if err != nil {
		return rec, false, err
	}
	return l.seen, told, unsure
}

// Take takes a record that somebody has sent unasked: a newer one of a name counts at
// once. Errors are those of [Verify], or match [ErrOlder].
func (r *Resolver) Take(name string, raw []byte) (Record, error) {
	rec, err := Verify(name, raw)
	if err != nil {
		return rec, err
	}
	if err := r.store.take(rec, time.Now()); err != nil {
		return rec, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.entry(name)
	a.heard, a.told = time.Now(), time.Now()
	return rec, nil
}

// isAlone tells that there is nobody to ask.
func (r *Resolver) isAlone() bool { return len(r.sources)+len(r.several) == 0 }

// Kept gives the newest record of a name that is here and valid, and how long ago it was
// last heard that it is the newest; no time at all where its key is here. ok is false for
// none.
func (r *Resolver) Kept(name string) (raw []byte, age time.Duration, ok bool) {
	l, err := r.store.load(name)
	if err != nil || !l.has() || l.seen.checkValid(time.Now()) != nil {
		return nil, 0, false
	}
	if len(l.Mine) > 0 && l.Stopped == "" {
		return l.Record, 0, true
	}
	return l.Record, max(time.Since(r.lastHeard(name, l)), 0), true
}

// Offer takes a record that somebody has sent unasked, of a name that was asked for here
// before; one of another is looked at alone, so that nobody fills the store. Newer tells
// that it is newer than what was here. Errors are those of [Verify].
func (r *Resolver) Offer(name string, raw []byte) (newer bool, err error) {
	rec, err := Verify(name, raw)
	if err != nil {
		return false, err
	}
	l, err := r.store.load(name)
	if err != nil || !l.has() {
		return false, err
	}
	if newer = rec.compare(l.seen) > 0; newer {
		_, err = r.Take(name, raw)
	}
	return newer, err
}

// Newer gives the newest of records of a name that is right; nil for none.
func (r *Resolver) Newer(name string, raws ...[]byte) (best []byte) {
	var newest Record
	for _, raw := range raws {
		rec, err := Verify(name, raw)
		if err == nil && (best == nil || rec.compare(newest) > 0) {
			best, newest = raw, rec
		}
	}
	return best
}
