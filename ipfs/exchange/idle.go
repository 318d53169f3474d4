package exchange

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// idle ends what stands still.
type idle struct {
	limit  time.Duration
	goesOn func() bool // tells, when nothing was noted for limit, whether it moves all the same
	end    func()

	mu    sync.Mutex
	timer *time.Timer
	due   time.Time // when it is over, unless it moves
	over  bool
}

// newIdle has end called when for limit nobody has called moves, and goesOn says no. It
// must be stopped.
func newIdle(limit time.Duration, goesOn func() bool, end func()) *idle {
	i := &idle{limit: limit, goesOn: goesOn, end: end}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.due = time.Now().Add(limit)
	i.timer = time.AfterFunc(limit, i.expire)
	return i
}

func (i *idle) expire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.over, time.Now().Before(i.due): // it moved just now
	case i.goesOn():
		i.putOff()
	default:
		i.over = true
		i.end()
	}
}

// moves puts the end off.
func (i *idle) moves() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.over {
		i.putOff()
	}
}

func (i *idle) putOff() {
	i.due = time.Now().Add(i.limit)
	i.timer.Reset(i.limit)
}

func (i *idle) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
	i.timer.Stop()
}

// sharedRate is how many bytes a second a peer must send in all, so that one of several
// answers that share its link may stand still or crawl.
const sharedRate = 4 << 10

// growth tells, each time it is asked, by how much a count has grown meanwhile.
func growth(count *atomic.Int64) func() int64 {
	before := count.Load()
	return func() int64 {
		now := count.Load()
		grown := now - before
		before = now
		return grown
	}
}

// shared tells, each time it is asked, whether a peer has sent enough meanwhile, with
// whatever answers, for one to be waited for: maxPatience at most since something of that
// one came.
func (x *Exchange) shared(p *peer, own func() time.Time) func() bool {
	news := growth(&p.read)
	return func() bool {
		enough := float64(news()) >= sharedRate*x.limits.Stall.Seconds()
		return enough && time.Since(own()) <= maxPatience
	}
}

// moving tells, each time it is asked, whether bytes have come from any peer meanwhile,
// and it is so that they matter.
func (x *Exchange) moving(matter func() bool) func() bool {
	news := growth(&x.read)
	return func() bool { return news() > 0 && matter() }
}

// tellEvery is how often who waits for a block is told that bytes come.
const tellEvery = 250 * time.Millisecond

// teller tells a context of what comes from peers while it waits for a block: of all
// bytes, since the link may be shared, and what is asked for before goes first.
type teller struct {
	tick   <-chan time.Time // when to tell; nil when nobody wants to know
	tell   func()
	ticker *time.Ticker
}

// teller makes one, which tells only while it is so that bytes matter. It must be stopped.
func (x *Exchange) teller(ctx context.Context, matter func() bool) *teller {
	told := ipfs.ProgressOf(ctx)
	if told == nil {
		return &teller{}
	}
	t := &teller{ticker: time.NewTicker(tellEvery)}
	t.tick = t.ticker.C
	news := growth(&x.read)
	t.tell = func() {
		if n := news(); n > 0 && matter() {
			told(int(n))
		}
	}
	return t
}

func (t *teller) stop() {
	if t.ticker != nil {
		t.ticker.Stop()
	}
}
