package exchange

import (
	"slices"
	"sync"
	"time"
)

// paces are how long answers to peers take, so that who holds a DAG can tell it. Who
// waits for another to get a block from there knows by that how long it may take, and
// does not ask for it a second time in vain.
type paces struct {
	mu    sync.Mutex
	under map[*answer]time.Time // when they began
	took  []took                // those that have ended of late, oldest first
}

type took struct {
	long time.Duration
	at   time.Time // when it had ended
}

// maxTook is how many answers that have ended are remembered.
const maxTook = 64

func newPaces() *paces { return &paces{under: map[*answer]time.Time{}} }

func (p *paces) begin(a *answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.under[a] = time.Now()
}

// end takes the end of an answer, which counts if any block was sent.
func (p *paces) end(a *answer, sent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	began := p.under[a]
	delete(p.under, a)
	if !sent {
		return
	}
	if len(p.took) == maxTook {
		p.took = slices.Delete(p.took, 0, 1)
	}
	p.took = append(p.took, took{time.Since(began), time.Now()})
}

// usual is how long answers take now: the median of those that are being sent, so far,
// and of those that have ended within the last time. So few who take slowly do not make
// others wait. It is 0 when there was none.
func (p *paces) usual(within time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.took = slices.DeleteFunc(p.took, func(t took) bool { return now.Sub(t.at) > within })
	var all []time.Duration
	for _, began := range p.under {
		all = append(all, now.Sub(began))
	}
	for _, t := range p.took {
		all = append(all, t.long)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
