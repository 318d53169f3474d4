package budget

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxCounted are the origins that Rates counts; where there are more all are forgotten.
const maxCounted = 10_000

// Rates bounds how often each origin does something: so many times at once, and then
// once in each pause. It is safe for concurrent use.
type Rates struct {
	pause time.Duration
	burst int

	mu sync.Mutex
	of map[string]*rate.Limiter
}

// NewRates makes one.
func NewRates(pause time.Duration, burst int) *Rates {
	return &Rates{pause: pause, burst: burst, of: map[string]*rate.Limiter{}}
}

// Wait is how long an origin has to wait before it may do it again; 0 when it may now.
func (r *Rates) Wait(origin string) time.Duration { return r.look(origin, false) }

// Try notes that an origin does it, if it may now, and else says when it may.
func (r *Rates) Try(origin string) (after time.Duration) { return r.look(origin, true) }

func (r *Rates) look(origin string, take bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.of[origin]
	if l == nil {
		if len(r.of) >= maxCounted {
			clear(r.of)
		}
		l = rate.NewLimiter(rate.Every(r.pause), r.burst)
		r.of[origin] = l
	}
	has := l.Tokens()
	if has < 1 {
		return time.Duration(math.Ceil((1 - has) * float64(r.pause)))
	}
	if take {
		l.Allow()
	}
	return 0
}
