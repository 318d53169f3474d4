// Package sources gets blocks from several places and trusts none of them.
//
// Sources are asked in order, the next one as soon as one fails or stalls, and
// every block is hashed. One that does not answer is left alone for a while;
// one that sent a false block is not asked any more. Errors name each source
// and how it failed.
package sources

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// ErrPanic is matched by errors about sources that panicked: a mistake in a
// program, which is logged with its stack.
var ErrPanic = errors.New("panic")

// Patience is for how long whoever pulls and has no deadline comes back to a source
// that has too much to do.
const Patience = 5 * time.Minute

// Options are the limits of a [Set]; the zero value is good.
type Options struct {
	// Hedge is how long the next source waits for the answer of the one
	// before, and how long that may stand still; 1 s when 0.
	Hedge time.Duration
	// Fetch is how long one source may take for one block; 40 s when 0, since
	// Kubo's gateway searches for 30 s before it says that it found nothing. A
	// source that tells of its progress ([ipfs.WithProgress]) may take longer
	// while bytes come, at 4 KiB/s or more: a slow link is shared by many blocks.
	Fetch time.Duration
	// Retry is how long a source is left alone after its first failure, and
	// how long a slow one is asked last; 5 s when 0.
	Retry time.Duration
	// Forgive is how long a source that sent a false block is not asked; for
	// good when 0.
	Forgive time.Duration
	// Insist has sources asked that are left alone when there is no other, unless
	// they ask for that themselves.
	Insist bool
	// Patience is how long a source that asks to be left alone for a while is
	// waited for when no other has the block; not at all when 0.
	Patience time.Duration
	// UntilDeadline has who has a deadline wait until that in place of Patience.
	UntilDeadline bool
	// Logger is told which sources fail; nil for none.
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	for field, value := range map[*time.Duration]time.Duration{
		&o.Hedge: time.Second, &o.Fetch: 40 * time.Second, &o.Retry: 5 * time.Second,
	} {
		if *field == 0 {
			*field = value
		}
	}
	o.Logger = silent.Logger(o.Logger)
}

// Set gets blocks from wherever they are first found. It implements
// [ipfs.Getter], is safe for concurrent use and must be closed.
type Set struct {
	opts      Options
	near, far []*Source

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	mu     sync.Mutex // orders start before Close
	wg     sync.WaitGroup
}

// New makes a Set of sources, which it takes over.
func New(opts Options, all ...*Source) *Set {
	opts.setDefaults()
	s := &Set{opts: opts}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, from := range all {
		from.opts = &s.opts
		if from.near {
			s.near = append(s.near, from)
		} else {
			s.far = append(s.far, from)
		}
	}
	return s
}

// Close ends what is under way and waits for it.
func (s *Set) Close() error {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// Sources lists the sources, those that are asked first at the front.
func (s *Set) Sources() []*Source { return append(append([]*Source{}, s.near...), s.far...) }

// String names the sources.
func (s *Set) String() string {
	var names []string
	for _, from := range s.Sources() {
		names = append(names, from.name)
	}
	return strings.Join(names, ", ")
}

// start runs fn in a goroutine that Close waits for.
func (s *Set) start(fn func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return fmt.Errorf("%w: the sources are closed", ipfs.ErrUnavailable)
	}
	s.wg.Go(fn)
	return nil
}

// Get asks one source after the other and returns the first good block. Errors
// match, for each source that failed, [ipfs.ErrNotFound], [ipfs.ErrUnavailable],
// [ipfs.ErrCorrupt] or [ErrPanic], so that nobody has the block only if they
// match the first alone; or they are ctx's own.
func (s *Set) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, _, err := s.get(ctx, c)
	return data, err
}

// get tells which source the block came from.
func (s *Set) get(ctx context.Context, c cid.Cid) ([]byte, *Source, error) {
	if len(s.near)+len(s.far) == 0 {
		return nil, nil, fmt.Errorf("block %s: %w: there is no source to ask", c, ipfs.ErrNotFound)
	}
	var failed failures
	for _, from := range s.near {
		err := from.answering()
		if err == nil {
			var data []byte
			if data, err = from.get(ctx, c); err == nil {
				return data, from, nil
			}
			if ctx.Err() != nil {
				return nil, nil, err
			}
		}
		failed = append(failed, err)
	}
	for end := s.patientUntil(ctx); ; {
		r := &race{set: s, c: c, failed: slices.Clone(failed)}
		r.queue, r.failed = s.queue(r.failed)
		data, from, err := r.run(ctx)
		if err == nil || ctx.Err() != nil || !s.wait(ctx, end) {
			return data, from, err
		}
	}
}

// patientUntil is when whoever asks now gives busy sources up.
func (s *Set) patientUntil(ctx context.Context) time.Time {
	if deadline, ok := ctx.Deadline(); ok && s.opts.UntilDeadline {
		return deadline
	}
	return time.Now().Add(s.opts.Patience)
}

// wait waits for the first of those sources that have asked to be left alone;
// false when there is none, or it asks for longer than all patience.
func (s *Set) wait(ctx context.Context, end time.Time) bool {
	first := end
	for _, from := range s.far {
		if until, busy := from.isBusy(); busy && from.trusted() == nil && until.Before(first) {
			first = until
		}
	}
	if !first.Before(end) {
		return false
	}
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}

// queue lists the far sources to ask, best first, and says why others are not.
func (s *Set) queue(failed failures) ([]*Source, failures) {
	var first, later, resting []*Source
	var skipped failures
	for _, from := range s.far {
		if err := from.trusted(); err != nil {
			failed = append(failed, err)
		} else if err := from.answering(); err != nil {
			skipped = append(skipped, err)
			if _, busy := from.isBusy(); !busy {
				resting = append(resting, from)
			}
		} else if from.demoted() {
			later = append(later, from)
		} else {
			first = append(first, from)
		}
	}
	queue := slices.Concat(first, later)
	if len(queue) == 0 && len(resting) > 0 && s.opts.Insist {
		return resting, failed
	}
	return queue, append(failed, skipped...)
}

// race is the search for one block.
type race struct {
	set     *Set
	c       cid.Cid
	queue   []*Source
	asked   int
	waiting map[*Source]bool
	failed  failures
	moved   atomic.Bool // bytes came since the hedge was set
}

type answer struct {
	from *Source
	data []byte
	err  error
}

func (r *race) run(ctx context.Context) ([]byte, *Source, error) {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // those who lost
	stop := context.AfterFunc(r.set.ctx, cancel)
	defer stop()
	r.waiting = map[*Source]bool{}
	answers := make(chan answer, len(r.queue))
	hedge := time.NewTimer(r.set.opts.Hedge)
	defer hedge.Stop()
	var late []*Source // did not answer before the next was asked
	for next := true; ; {
		if next && r.asked < len(r.queue) {
			if err := r.ask(ctx, answers); err != nil {
				return nil, nil, err
			}
			hedge.Reset(r.set.opts.Hedge)
		} else if len(r.waiting) == 0 {
			return nil, nil, fmt.Errorf("block %s: %w", r.c, r.failed)
		}
		select {
		case a := <-answers:
			next = true
			delete(r.waiting, a.from)
			if a.err == nil {
				for _, from := range late {
					if r.waiting[from] {
						from.demote()
					}
				}
				return a.data, a.from, nil
			}
			if ctx.Err() != nil { // it only says that it was stopped
				r.waiting[a.from] = true
				return nil, nil, r.ended(outer)
			}
			r.failed = append(r.failed, a.err)
		case <-hedge.C:
			if next = r.asked == len(r.queue) || r.hedges(); !next {
				hedge.Reset(r.set.opts.Hedge)
				continue
			}
			for from := range r.waiting {
				late = append(late, from)
			}
		case <-ctx.Done():
			return nil, nil, r.ended(outer)
		}
	}
}

// hedges tells whether it is time to ask the next source as well: the one that
// was asked last stands still, or is to be compared with it.
func (r *race) hedges() bool {
	return !r.moved.Swap(false) || r.queue[r.asked-1].compared()
}

// ask asks the next source.
func (r *race) ask(ctx context.Context, answers chan<- answer) error {
	from := r.queue[r.asked]
	r.asked++
	r.waiting[from] = true
	r.moved.Store(false)
	ctx = ipfs.WithProgress(ctx, func(int) { r.moved.Store(true) })
	return r.set.start(func() {
		a := answer{from: from}
		defer func() {
			if p := recover(); p != nil { // would end the process
				r.set.opts.Logger.Error("panic in a source", "source", from.name, "panic", p, "stack", string(debug.Stack()))
				a.data, a.err = nil, fmt.Errorf("%s: %w: %v", from, ErrPanic, p)
			}
			answers <- a
		}()
		a.data, a.err = from.get(ctx, r.c)
	})
}

// ended is the error of a search that was given up.
func (r *race) ended(ctx context.Context) error {
	switch err := context.Cause(ctx); {
	case err == nil:
		return fmt.Errorf("%w: the sources are closed", ipfs.ErrUnavailable)
	case errors.Is(err, context.DeadlineExceeded):
		for from := range r.waiting {
			r.failed = append(r.failed, fmt.Errorf("%s: no answer", from))
		}
		return fmt.Errorf("%w: block %s did not come in time: %w: %w", ipfs.ErrUnavailable, r.c, err, r.failed)
	default:
		return err
	}
}

// failures are the errors of several sources about a block that is named before.
type failures []error

func (f failures) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
		if b := (*ipfs.BlockError)(nil); errors.As(err, &b) && b.Error() == texts[i] {
			texts[i] = b.Place + ": " + b.Err.Error()
		}
	}
	return strings.Join(texts, "; ")
}

func (f failures) Unwrap() []error { return f }
