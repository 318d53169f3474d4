package exchange

import (
	"context"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// gate bounds what answers to peers cost. Of places and memory an origin gets nearly
// all while nobody else wants any; when another waits, an answer is cut that nobody
// takes. A peer has a share of its origin's.
type gate struct {
	limits  Limits
	places  *budget.Share // for requests for blocks
	light   *budget.Share // for requests for one block, or for blocks that this node is to get
	sending *budget.Share // bytes of blocks that are being sent
	looks   *budget.Share // for requests for states

	mu      sync.Mutex
	byPeer  map[string]int // requests for blocks being answered, of each peer
	looking map[string]int // requests for states, of each peer
	states  map[string]remembered
}

// remembered is the state of a DAG, as of a moment ago.
type remembered struct {
	state state
	at    time.Time
}

const (
	maxLooking  = 32          // requests for states of one peer at once
	maxLooks    = 256         // of all
	maxLight    = 4           // times as many as answers: they are soon over, or take no memory
	stateMemory = time.Second // for which a state is remembered
	maxStates   = 1000        // that are remembered
	// placePatience is how long a request waits for others to make room.
	placePatience = 2 * time.Second
)

func newGate(l Limits, memory *budget.Budget) *gate {
	return &gate{
		limits: l, places: budget.NewShare("answers", int64(l.Answers)), sending: memory.Answers,
		light: budget.NewShare("light answers", maxLight*int64(l.Answers)),
		looks: budget.NewShare("states", maxLooks), byPeer: map[string]int{},
		looking: map[string]int{}, states: map[string]remembered{},
	}
}

// enter lets in a request for blocks of a peer, for the holder of ctx; false when too
// many are being answered, of the light ones or of the others.
func (g *gate) enter(ctx context.Context, peer string, light bool) (release func(), ok bool) {
	places := g.places
	if light {
		places = g.light
	}
	return g.place(ctx, places, g.byPeer, peer, g.limits.PerPeer)
}

// look lets in a request for a state; false when too many are being answered.
func (g *gate) look(ctx context.Context, peer string) (release func(), ok bool) {
	return g.place(ctx, g.looks, g.looking, peer, maxLooking)
}

func (g *gate) place(ctx context.Context, places *budget.Share, byPeer map[string]int, peer string, most int) (release func(), ok bool) {
	g.mu.Lock()
	if byPeer[peer] >= most {
		g.mu.Unlock()
		return nil, false
	}
	byPeer[peer]++
	g.mu.Unlock()
	leave := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		budget.Less(byPeer, peer, 1)
	}
	ctx, cancel := context.WithTimeout(ctx, placePatience)
	defer cancel()
	free, err := places.Take(ctx, 1)
	if err != nil {
		leave()
		return nil, false
	}
	return func() { free(); leave() }, true
}

// forget forgets the state of a DAG that has changed.
func (g *gate) forget(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.states, key)
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
