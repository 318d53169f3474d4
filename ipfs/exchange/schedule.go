package exchange

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	lookEvery  = 250 * time.Millisecond // the scheduler looks at peers while there are jobs
	passEvery  = 2 * time.Millisecond   // at most: what comes meanwhile is dealt with at once
	maxAsking  = 64                     // requests for states at once
	settleTime = time.Second            // for which a new job waits to hear what peers have
	noneFactor = 3                      // times Refresh, for peers that had nothing, or all
)

// schedule asks peers for what is missing until the exchange is closed.
func (x *Exchange) schedule() {
	look := time.NewTimer(0)
	defer look.Stop()
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	for {
		select {
		case <-x.wake:
		case <-look.C:
		case <-x.ctx.Done():
			return
		}
		if x.pass(time.Now()) {
			look.Reset(lookEvery)
		}
		pause.Reset(passEvery)
		select {
		case <-pause.C:
		case <-x.ctx.Done():
			return
		}
	}
}

// pass starts all requests that there is a need and room for; false when there
// is nothing to do any more.
func (x *Exchange) pass(now time.Time) bool {
	x.mu.Lock()
	idle, known := len(x.queue) == 0, now.Sub(x.looked) < lookAgain
	x.mu.Unlock()
	if idle {
		return false
	}
	if !known {
		x.lookAround()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	jobs := x.turns()
	picks := make([]*pick, len(jobs))
	// what readers stand at comes before what they read ahead, and that before what others
	// may want later
	for i, j := range jobs {
		x.inquire(j, now)
		picks[i] = x.pick(j, now)
		picks[i].first()
	}
	for _, s := range picks {
		s.urgent()
	}
	for i, j := range jobs {
		picks[i].rest()
		x.giveUp(j, now)
	}
	return true
}

// inquire asks peers what they have of a job's DAG, those of whom that was
// heard of late excepted.
func (x *Exchange) inquire(j *job, now time.Time) {
	for _, p := range x.peers {
		v := j.view(p)
		if !p.usable(now) || v.asking || x.asking >= maxAsking {
			continue
		}
		due := x.limits.Refresh
		if v.state == none || v.state == holds { // there is little new to hear
			due *= noneFactor
		}
		if !v.at.IsZero() && now.Sub(v.at) < due || now.Sub(v.unanswered) < x.limits.Refresh {
			continue
		}
		rt, limit := p.rt, stateTimeout
		if v.state == holds { // its answer may be behind blocks that it sends
			limit = 2 * x.limits.Stall
		}
		v.asking = x.task(func() {
			began := time.Now()
			t, err := x.askTold(j.ctx, rt, j.root, true, limit)
			x.mu.Lock()
			defer x.mu.Unlock()
			x.asking--
			v.asking = false
			if j.ctx.Err() == nil {
				x.report(p, forState, err)
				if err == nil { // else it has what it had, as far as is known
					j.gains(p, v, t)
					j.saw(v, t, began)
				} else {
					v.unanswered = time.Now()
				}
			}
			x.rouse()
		})
		if v.asking {
			x.asking++
		}
	}
}

// gains has a peer asked again for what it has left out and tells that it has now.
func (j *job) gains(p *peer, v *view, t told) {
	whole := t.state == holds && v.state != holds
	if !whole && !t.has.beyond(v.has) {
		return
	}
	for _, b := range j.urgent {
		if whole || t.has.bit(b.leaf(j)) {
			b.lacking = slices.DeleteFunc(b.lacking, func(l lack) bool { return l.p == p })
		}
	}
}

// saw takes what a peer tells, which was asked for then. What is new to this node is a reason to hope.
func (j *job) saw(v *view, t told, at time.Time) {
	if j.planned {
		most := (j.leaves + 7) / 8 // the rest of what it has sent goes
		t.has, t.gets = slices.Clone(t.has[:min(len(t.has), most)]), slices.Clone(t.gets[:min(len(t.gets), most)])
	} else {
		t.has, t.gets = nil, nil // asked again when it is known what the bits mean
	}
	if t.state == holds && v.state != holds || t.has.beyond(j.has) && t.has.beyond(v.has) {
		j.hopeless = nil
	}
	v.told, v.at = t, at
}

// view gives what is known of a peer's blocks.
func (j *job) view(p *peer) *view {
	v := j.views[p.id]
	if v == nil {
		v = &view{told: told{state: none}}
		j.views[p.id] = v
	}
	return v
}

// note takes what a peer says of itself.
func (x *Exchange) note(id string, root cid.Cid, s state) {
	x.mu.Lock()
	defer x.mu.Unlock()
	j := x.jobs[string(root.Hash())]
	if j == nil {
		return
	}
	if v := j.view(x.peer(id)); v.state != s {
		v.state, v.at = s, time.Time{} // and which parts is asked
		x.rouse()
	}
}

// giveUp has blocks that are late asked of others, then of holders, and tells those
// who wait when nothing has come for so long that nothing is hoped for.
func (x *Exchange) giveUp(j *job, now time.Time) {
	patience := x.patience(j, now)
	for _, b := range j.urgent {
		if len(b.waits) == 0 {
			continue
		}
		if late, direct := x.isLate(b, now, patience); late && !b.late || direct && !b.direct {
			b.late, b.direct = true, b.direct || direct
			x.rouse()
		}
		b.endOverdue(now, patience)
		if b.need() == byPeer {
			continue
		}
		still := now.Sub(x.lastOf(b))
		if still > x.limits.Stall && !j.finding && now.Sub(j.searched) > findEvery {
			x.find(j)
		}
		if still > x.limits.Give && now.Sub(b.ended) > lookEvery { // others may be asked first
			j.hopeless = x.comeBack(j.missing(x, b, now), now)
			break
		}
	}
	if j.hopeless == nil {
		return
	}
	for _, b := range j.urgent {
		b.settle(result{err: j.hopeless})
	}
}

// lastOf tells when a block that is waited for was last a reason to hope: when any of its
// DAG came, when it was first asked for, and, for maxPatience longer, when who was asked
// to get it told that it is on its way, or who has it sent anything; or, before anybody
// was asked for it, when who fetches the DAG as well did so.
func (x *Exchange) lastOf(b *block) time.Time {
	last := latest(b.since, latest(b.jobs[0].last(), b.first))
	hope := last
	for _, t := range b.asked {
		hope = latest(hope, t.hope())
	}
	for _, p := range x.peers { // who has it may have something else to send before
		v := b.jobs[0].views[p.id]
		if p.rt == nil || v == nil {
			continue
		}
		for kind, l := range p.lanes {
			for _, t := range l.under {
				if kind == plain && v.state == holds || b.first.IsZero() && v.state == fetching && v.hops > 0 {
					hope = latest(hope, t.hope())
				}
			}
		}
	}
	if most := last.Add(maxPatience); hope.After(most) {
		return most
	}
	return hope
}

// maxPatience is how long is waited at most for what goes on coming, before another is
// asked as well.
const maxPatience = 2 * time.Minute

// patience is how long a block may take in each kind of lane before another is asked for
// it, though who was asked goes on sending: twice Stall, or, where that is longer, as
// some requests to the quickest of those who have all take at the moment, as it is seen
// here or as they all tell. So where an origin is slow, nobody asks it for what another
// gets from there; and who is slower than
// those who have all, or only says that he is getting a block, is not waited for.
func (x *Exchange) patience(j *job, now time.Time) (p [2]time.Duration) {
	quickest, says := time.Duration(0), maxPatience
	holders := 0
	for _, p := range x.peers {
		v := j.views[p.id]
		if v == nil || v.state != holds || !p.usable(now) {
			continue
		}
		holders++
		says = min(says, v.pace) // who says nothing has little to do
		if pace := p.lanes[plain].pace(now, x.limits.Stall); pace > 0 && (quickest == 0 || pace < quickest) {
			quickest = pace
		}
	}
	if holders > 0 {
		quickest = max(quickest, says)
	}
	for kind, requests := range [2]int{plain: 2, relay: queued} {
		p[kind] = min(max(time.Duration(requests)*quickest, 2*x.limits.Stall), maxPatience)
	}
	return p
}

// queued is how many requests a peer that is to get a block may have to make before.
const queued = 5

// isLate tells whether a block that is waited for is to be asked of one peer more, as
// who was asked stands still or takes very long, and whether of a holder, as this did
// not help. It counts from when somebody was first asked, whoever that was. One that
// nobody was asked for is late when nothing else comes either: else there is just much
// to do before it.
func (x *Exchange) isLate(b *block, now time.Time, patience [2]time.Duration) (late, direct bool) {
	stall := x.limits.Stall
	if b.tried.IsZero() {
		return false, now.Sub(latest(b.since, x.lastFor(b.jobs[0]))) > patience[relay]
	}
	moved, most := b.tried, 2*stall
	for _, t := range b.asked {
		moved, most = latest(moved, time.Unix(0, t.moved.Load())), max(most, patience[t.lane])
	}
	since, still := now.Sub(b.tried), now.Sub(moved)
	return still > stall || since > most, still > 2*stall || since > 2*most
}

// endOverdue ends requests that go on for twice as long as is waited before others are
// asked, so that who sends slowly on purpose does not take the place of one who gives
// the block. Where those who have all are so slow themselves nothing is ended.
func (b *block) endOverdue(now time.Time, patience [2]time.Duration) {
	for _, t := range b.asked {
		if most := patience[t.lane]; most < maxPatience && now.Sub(t.began) > 2*most {
			t.cancel(errOverdue)
		}
	}
}

// comeBack has err say so where a peer that is connected has had too much to do of
// late: who waits may come back then. x.mu is held.
func (x *Exchange) comeBack(err error, now time.Time) error {
	for _, p := range x.peers {
		if p.rt != nil && now.Sub(p.busy) < x.limits.Give {
			return fmt.Errorf("%w: %w: %w", err, errBusy, &ipfs.BusyError{Until: now.Add(busyRest)})
		}
	}
	return err
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

const findEvery = 10 * time.Second // for one job

// miss deals with blocks that nobody has who is known: others are looked for,
// and all are asked again a little later; who failed when it was asked, as soon as it
// may be asked again. Where all have told that they do not have it, and there is nobody
// else to hope for, who waits is told at once.
func (x *Exchange) miss(s *pick, lost []*block) {
	j := s.j
	if len(lost) == 0 {
		return
	}
	if !j.finding && s.now.Sub(j.searched) > findEvery {
		x.find(j)
	}
	hope := j.finding || len(s.fetchers) > 0
	for _, b := range lost {
		if s.now.Before(b.retry) { // it is there twice
			continue
		}
		if b.again(s.now) {
			b.retry = s.now.Add(passEvery)
			continue
		}
		if !hope {
			b.settle(result{err: x.comeBack(fmt.Errorf("%w: no peer has block %s", ipfs.ErrNotFound, b.cid), s.now)})
		}
		b.refuse()
		b.lacking, b.retry, b.tried = nil, s.now.Add(x.limits.Refresh), time.Time{}
	}
}

// find looks for other nodes that have the DAG of a job.
func (x *Exchange) find(j *job) {
	j.finding = x.task(func() {
		err := x.net.Find(j.ctx, j.root)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && j.ctx.Err() == nil {
			x.log.Debug("looking for other peers", "root", j.root.String(), "error", err)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		j.finding, j.searched = false, time.Now()
		if err == nil {
			j.hopeless = nil
		}
		for _, b := range j.todo {
			b.retry = time.Time{}
		}
		x.rouse()
	})
}
