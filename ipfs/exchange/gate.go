package exchange

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// gate bounds what answers to peers cost.
type gate struct {
	limits Limits
	memory *semaphore.Weighted // bytes of blocks being sent

	mu      sync.Mutex
	total   int            // requests for blocks being answered
	byPeer  map[string]int // the same, of each peer
	looking map[string]int // requests for states being answered, of each peer
	states  map[string]remembered
}

// remembered is the state of a DAG, as of a moment ago.
type remembered struct {
	state state
	at    time.Time
}

const (
	maxLooking  = 32          // requests for states of one peer at once
	stateMemory = time.Second // for which a state is remembered
	maxStates   = 1000        // that are remembered
)

func newGate(l Limits) *gate {
	return &gate{
		limits: l, memory: semaphore.NewWeighted(l.Sending),
		byPeer: map[string]int{}, looking: map[string]int{}, states: map[string]remembered{},
	}
}

// enter lets in a request for blocks; false when too many are being answered.
func (g *gate) enter(peer string) (release func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= g.limits.Answers || g.byPeer[peer] >= g.limits.PerPeer {
		return nil, false
	}
	g.total++
	g.byPeer[peer]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.total--
		less(g.byPeer, peer)
	}, true
}

// look lets in a request for a state; false when too many are being answered.
func (g *gate) look(peer string) (release func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.looking[peer] >= maxLooking {
		return nil, false
	}
	g.looking[peer]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		less(g.looking, peer)
	}, true
}

func less(counts map[string]int, peer string) {
	if counts[peer]--; counts[peer] == 0 {
		delete(counts, peer)
	}
}

// hold waits until there is memory for a block of n bytes to send.
func (g *gate) hold(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, g.limits.Sending)
	if err := g.memory.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { g.memory.Release(n) }, nil
}

// remember gives the state of a DAG, by find when that is not known of late.
func (g *gate) remember(key string, find func() state) state {
	g.mu.Lock()
	known, ok := g.states[key]
	g.mu.Unlock()
	if ok && time.Since(known.at) < stateMemory {
		return known.state
	}
	s := find()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.states) >= maxStates {
		clear(g.states)
	}
	g.states[key] = remembered{s, time.Now()}
	return s
}
