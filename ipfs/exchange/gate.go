package exchange

import (
	"context"
	"sync"
	"time"
)

// gate bounds what answers to peers cost. Of places and memory no peer gets, and of
// places no address, more than is left for the others then: n peers that want all of it leave one
// part in n+1, so that who comes next is answered.
type gate struct {
	limits Limits

	mu     sync.Mutex
	total  int            // requests for blocks being answered
	byPeer map[string]int // the same, of each peer
	// byOrigin is the same of each address: identities cost nothing.
	byOrigin map[string]int
	sending  int64            // bytes of blocks being sent
	held     map[string]int64 // the same, of each peer
	freed    chan struct{}    // closed when some of these have been sent
	looking  map[string]int   // requests for states being answered, of each peer
	states   map[string]remembered
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
		limits: l, byPeer: map[string]int{}, byOrigin: map[string]int{}, held: map[string]int64{}, freed: make(chan struct{}),
		looking: map[string]int{}, states: map[string]remembered{},
	}
}

// enter lets in a request for blocks; false when too many are being answered.
func (g *gate) enter(peer, origin string) (release func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := g.limits.Answers - g.total
	if g.byPeer[peer] >= min(g.limits.PerPeer, left) || g.byOrigin[origin] >= left {
		return nil, false
	}
	g.total++
	g.byPeer[peer]++
	g.byOrigin[origin]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.total--
		less(g.byPeer, peer, 1)
		less(g.byOrigin, origin, 1)
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
		less(g.looking, peer, 1)
	}, true
}

func less[N int | int64](counts map[string]N, peer string, n N) {
	if counts[peer] -= n; counts[peer] == 0 {
		delete(counts, peer)
	}
}

// tryHold gives memory for a block of n bytes to send; false when there is none.
func (g *gate) tryHold(peer string, n int64) (release func(), ok bool) {
	release, freed := g.take(peer, n)
	return release, freed == nil
}

// hold waits until there is memory for a block of n bytes to send.
func (g *gate) hold(ctx context.Context, peer string, n int64) (release func(), err error) {
	for {
		release, freed := g.take(peer, n)
		if freed == nil {
			return release, nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take gives memory, or when there is not enough what is closed when there is more.
func (g *gate) take(peer string, n int64) (release func(), freed <-chan struct{}) {
	n = min(n, g.limits.Sending)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held[peer]+n > g.limits.Sending-g.sending {
		return nil, g.freed
	}
	g.sending += n
	g.held[peer] += n
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.sending -= n
		less(g.held, peer, n)
		close(g.freed)
		g.freed = make(chan struct{})
	}, nil
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
