package exchange

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// peer is what is known of a peer; all of it is guarded by the exchange.
type peer struct {
	id   string
	seed uint64            // for the choice of homes
	rt   http.RoundTripper // nil when it is not connected
	// lanes are requests under way: for blocks that it has, and for those that
	// it is to get.
	lanes [2]lane

	failures [2]int    // in a row, at each kind of request
	slower   bool      // the last of them was that others were faster: it was sending
	rest     time.Time // not to be asked before
	fell     time.Time // when it last failed, so that it rests
	busy     time.Time // when it last said that it has too much to do
	banned   time.Time // it has sent a false block, and is not to be asked before
	traffic  Traffic

	read   atomic.Int64  // bytes of answers with blocks; not guarded
	taking chan struct{} // holds one for each single block that is on its way; not guarded
}

// lane is one kind of requests to a peer.
type lane struct {
	running int           // requests
	under   []*batch      // those of them that were made
	bytes   int64         // asked for and not there yet
	rate    float64       // bytes a second of one request; 0 for not measured
	took    time.Duration // the last that brought something; 0 for none
}

// Kinds of requests whose failures are counted each for itself: who answers what it has
// and gives no blocks has failed all the same.
const (
	forState  = 0
	forBlocks = 1
)

const (
	plain = 0 // index of the lane for what a peer has
	relay = 1 // for what it is to get

	maxRunning = 2         // requests in one lane
	firstBatch = 1 << 20   // bytes asked for at once of a peer whose speed is unknown
	minBatch   = 256 << 10 // of a slow one
	maxBatch   = 4 << 20   // of a fast one
	batchTime  = 1.0       // seconds that a request is to take
	maxBlocks  = 256       // in one request

	firstRest = time.Second
	maxRest   = time.Minute
	busyRest  = time.Second // after it said that it has too much to do
)

func newPeer(id string) *peer {
	return &peer{id: id, seed: seed(id), taking: make(chan struct{}, maxTaking)}
}

// usable tells whether the peer may be asked now.
func (p *peer) usable(now time.Time) bool {
	return p.rt != nil && !now.Before(p.rest) && !now.Before(p.banned)
}

// recovers tells whether it may be asked soon, though not now.
func (p *peer) recovers(now time.Time) bool {
	return p.rt != nil && now.Before(p.rest) && !now.Before(p.banned)
}

// pressed tells whether a peer that rests may be asked all the same, where there is no
// other, and from when on.
func (p *peer) pressed(now time.Time) (from time.Time, may bool) {
	return p.fell.Add(firstRest), p.recovers(now) && !p.isBusy(now)
}

// isBusy tells whether it has said of late that it has too much to do.
func (p *peer) isBusy(now time.Time) bool { return now.Sub(p.busy) <= busyRest }

// failed tells how often it has not given blocks, of late.
func (p *peer) failed() int { return p.failures[forBlocks] }

// sends tells whether something of what it was asked for has come of late.
func (p *peer) sends(now time.Time, stall time.Duration) bool {
	for _, t := range p.lanes[plain].under {
		if now.Sub(time.Unix(0, t.moved.Load())) < stall {
			return true
		}
	}
	return false
}

// free tells whether a lane takes another request. Who is slow, or has failed, is asked
// for one thing at a time: so what it has to send is not shared by several blocks, of
// which none is complete soon.
func (p *peer) free(kind int) bool {
	l := &p.lanes[kind]
	if p.failed() > 0 || l.rate > 0 && l.rate < minBatch {
		return l.running == 0
	}
	return l.running < maxRunning
}

// isClogged tells whether the lane is full for longer than requests are to take.
func (l *lane) isClogged(now time.Time, patience time.Duration) bool {
	for _, t := range l.under {
		if now.Sub(t.began) > patience {
			return true
		}
	}
	return false
}

// pace is how long requests take now, those that go on included; 0 when that is not
// known. One that stands still tells nothing.
func (l *lane) pace(now time.Time, stall time.Duration) time.Duration {
	longest := time.Duration(0)
	for _, t := range l.under {
		if now.Sub(time.Unix(0, t.moved.Load())) <= stall {
			longest = max(longest, now.Sub(t.began))
		}
	}
	return max(longest, l.took)
}

// batch is how many bytes to ask for in one request.
func (l *lane) batch() int64 {
	if l.rate == 0 {
		return firstBatch
	}
	return min(max(int64(l.rate*batchTime), minBatch), maxBatch)
}

// load is how long the lane will take for what it was asked for, in seconds.
func (l *lane) load(more int64) float64 {
	return float64(l.bytes+more) / max(l.rate, minBatch)
}

// empty is what is taken for the speed of who gives nothing of what it says that it has,
// in bytes a second.
const empty = 1

// measured takes the size of an answer and the time for it.
func (l *lane) measured(bytes int64, took time.Duration) {
	if bytes == 0 {
		return
	}
	l.took = took
	rate := float64(bytes) / max(took.Seconds(), 1e-3)
	if l.rate > empty {
		rate = (l.rate + rate) / 2
	}
	l.rate = rate
}

// errBusy is matched by errors about a peer that has too much to do.
var errBusy = errors.New("peer is busy")

// errBroken is why a peer fails that says that it has blocks and gives none.
var errBroken = fmt.Errorf("%w: it gives nothing of what it says that it has", ipfs.ErrUnavailable)

// report takes the outcome of a request of one kind: a peer that fails is left alone for
// a while that doubles each time.
func (x *Exchange) report(p *peer, kind int, err error) {
	now := time.Now()
	if kind == forBlocks {
		p.slower = errors.Is(err, errLate)
	}
	switch {
	case err == nil:
		p.failures[kind] = 0
	case errors.Is(err, ipfs.ErrCorrupt):
		x.falseAnswers++
		p.banned = now.Add(x.limits.Forgive)
		x.log.Warn("a peer sent a false block; it is not asked any more", "peer", p.id, "for", x.limits.Forgive, "error", err)
	case errors.Is(err, errBusy):
		x.failed++
		p.rest, p.busy = now.Add(busyRest), now
	case errors.Is(err, errors.ErrUnsupported): // Network.Blocks has nobody to ask
		p.rest = now.Add(x.limits.Refresh)
	case kind == forState && p.sends(now, x.limits.Stall): // what it tells is behind what it sends
		x.failed++
	case now.Before(p.rest): // requests that fail together are one failure
		x.failed++
	default:
		x.failed++
		pause := min(firstRest<<p.failures[kind], maxRest)
		p.failures[kind] = min(p.failures[kind]+1, 8)
		p.rest, p.fell = now.Add(pause), now
		x.log.Debug("a peer failed", "peer", p.id, "pause", pause, "error", err)
	}
}

// maxPeers is how many peers are remembered before those that have gone are forgotten.
const maxPeers = 1024

// lookAround takes the peers that are connected now.
func (x *Exchange) lookAround() {
	connected := x.net.Peers()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.looked = time.Now()
	x.connect(connected)
}

// lookAgain is how long the list of connected peers is good for; not for new jobs.
const lookAgain = 100 * time.Millisecond

// connect takes the peers that are connected; x.mu is held.
func (x *Exchange) connect(now []Peer) {
	before := map[string]bool{}
	for id, p := range x.peers {
		before[id], p.rt = p.rt != nil, nil
	}
	for _, p := range now {
		id := p.String()
		if id == x.net.Self() {
			continue
		}
		if x.peer(id).rt = p; !before[id] { // a reason to hope
			for _, j := range x.queue {
				j.hopeless = nil
			}
		}
	}
	for _, j := range x.queue {
		j.leave(x.peers)
	}
}

// leave forgets what peers have told that are not connected any more, but for whether
// they had anything, as long as they are remembered themselves.
func (j *job) leave(peers map[string]*peer) {
	maps.DeleteFunc(j.views, func(id string, v *view) bool {
		p := peers[id]
		switch {
		case v.asking || p != nil && p.rt != nil:
			return false
		case p == nil || v.state == none:
			return true
		}
		v.told, v.at = told{state: v.state}, time.Time{}
		return false
	})
}

// peer gives what is known of a peer; x.mu is held.
func (x *Exchange) peer(id string) *peer {
	p := x.peers[id]
	if p == nil {
		x.forget()
		p = newPeer(id)
		x.peers[id] = p
	}
	return p
}

// forget makes room for one more peer, where there are very many; x.mu is held.
func (x *Exchange) forget() {
	if len(x.peers) < maxPeers {
		return
	}
	now := time.Now()
	for id, p := range x.peers {
		if p.rt == nil && p.lanes[plain].running+p.lanes[relay].running == 0 && now.After(p.banned) {
			delete(x.peers, id)
			for _, j := range x.queue {
				delete(j.views, id)
			}
		}
	}
}
