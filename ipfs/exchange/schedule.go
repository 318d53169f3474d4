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
	noneFactor = 3                      // times Refresh, for peers that had nothing
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
	jobs := slices.Clone(x.queue)
	slices.SortStableFunc(jobs, func(a, b *job) int { return a.patience() - b.patience() })
	jobs = slices.DeleteFunc(jobs, (*job).complete)
	picks := make([]*pick, len(jobs))
	for i, j := range jobs { // what any reader waits for comes before what others may want later
		x.inquire(j, now)
		picks[i] = x.pick(j, now)
		picks[i].urgent()
	}
	for i, j := range jobs {
		picks[i].rest()
		x.giveUp(j, now)
	}
	return true
}

// patience is 0 when somebody waits for a block of the job.
func (j *job) patience() int {
	if len(j.urgent) > 0 {
		return 0
	}
	return 1
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
		if v.state == none {
			due *= noneFactor
		}
		doubted := v.state == fetching && v.at.Before(j.doubted)
		if !v.at.IsZero() && now.Sub(v.at) < due && !doubted {
			continue
		}
		rt := p.rt
		v.asking = x.task(func() {
			began := time.Now()
			t, err := x.askTold(j.ctx, rt, j.root, true)
			x.mu.Lock()
			defer x.mu.Unlock()
			x.asking--
			v.asking = false
			if j.ctx.Err() == nil {
				x.report(p, err)
				j.saw(v, t, began)
			}
			x.rouse()
		})
		if v.asking {
			x.asking++
		}
	}
}

// saw takes what a peer tells, which was asked for then. What is new to this node is a reason to hope.
func (j *job) saw(v *view, t told, at time.Time) {
	if j.planned {
		most := (j.leaves + 7) / 8
		t.has, t.gets = t.has[:min(len(t.has), most)], t.gets[:min(len(t.gets), most)]
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
	for _, b := range j.urgent {
		if len(b.waits) == 0 {
			continue
		}
		if late, direct := x.isLate(b, now); late && !b.late || direct && !b.direct {
			b.late, b.direct = true, b.direct || direct
			x.rouse()
		}
		last := latest(b.since, j.last())
		if len(b.asked) == 0 { // there may be much to do before it
			last = latest(last, x.came)
		}
		if now.Sub(last) > x.limits.Give {
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

// isLate tells whether a block that is waited for is to be asked of one peer more, as
// who was asked stands still or takes very long, and whether of a holder, as this did
// not help. One that nobody was asked for is late when nothing else comes either: else
// there is just much to do before it.
func (x *Exchange) isLate(b *block, now time.Time) (late, direct bool) {
	stall := x.limits.Stall
	if len(b.asked) == 0 {
		return false, now.Sub(latest(b.since, x.came)) > 2*stall
	}
	began, moved := b.asked[0].began, time.Time{}
	for _, t := range b.asked {
		began, moved = latest(began, t.began), latest(moved, time.Unix(0, t.moved.Load()))
	}
	since, still := now.Sub(began), now.Sub(latest(began, moved))
	return still > stall || since > 2*stall, still > 2*stall
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
// and all are asked again a little later. Where there is nobody to hope for,
// who waits is told at once.
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
		if !hope {
			b.settle(result{err: x.comeBack(fmt.Errorf("%w: no peer has block %s", ipfs.ErrNotFound, b.cid), s.now)})
		}
		b.refuse()
		b.lacking, b.retry = nil, s.now.Add(x.limits.Refresh)
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
		for _, b := range j.todo {
			b.retry = time.Time{}
		}
		x.rouse()
	})
}
