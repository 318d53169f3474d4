package exchange

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// job fetches what is missing of one DAG; all of it is guarded by the exchange.
type job struct {
	root    cid.Cid
	ctx     context.Context // ends with the job
	cancel  context.CancelFunc
	readers int
	idle    *time.Timer // ends the job when it has had no reader for a while

	todo     []*block      // in the order of need; what was missing when it was planned
	got      int           // of todo that are here
	ready    chan struct{} // closed when todo has all that is missing
	planned  bool          // ready is closed
	urgent   []*block      // waited for, oldest first, and perhaps some that are not any more
	cursor   int           // pos of the block that a reader waits for
	progress time.Time     // a block came
	moved    atomic.Int64  // bytes of one came; Unix nanoseconds
	hopeless error         // nobody gives what is missing; nil as long as it is waited for
	served   int64         // bytes that were asked for: who has had least has the next turn
	waited   bool          // somebody waited for a block of it at the last pass
	leaves   int           // that the DAG has
	has      bitmap        // those of them that are here
	hops     int           // from a node that has all; 0 when nobody knows one

	views    map[string]*view // of peers, by ID
	settled  time.Time        // by then it is known what peers have, or they do not tell
	searched time.Time        // when [Network.Find] was last asked
	finding  bool
	// unmeasured is when there were first only copies of which nothing had come.
	unmeasured time.Time
}

// view is what a peer has of the job's DAG.
type view struct {
	told
	at     time.Time // as of then; zero for never
	asking bool
	// unanswered is when it last did not answer.
	unanswered time.Time
}

// maxPlanned is how many blocks a DAG may have that is fetched ahead of its
// readers; one with more is got block by block.
const maxPlanned = 262_144

// Fetch says that the DAG of a file is about to be read: what is missing of it
// on this machine is fetched, ahead of the readers, until all who asked for
// that have called release. Blocks of the DAG are read from g, which waits for
// those that are on their way, and has those fetched first for which it waits.
// All who fetch the same do it together. Errors of g are those of
// [Exchange.Get].
func (x *Exchange) Fetch(c cid.Cid) (g ipfs.Getter, release func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	key := string(c.Hash())
	j := x.jobs[key]
	if j == nil {
		if j = x.newJob(c); j == nil {
			return x, func() {}
		}
		x.jobs[key] = j
		x.queue = append(x.queue, j)
		x.looked = time.Time{}
	}
	if j.idle != nil {
		j.idle.Stop()
		j.idle = nil
	}
	j.readers++
	return &reader{x, j}, sync.OnceFunc(func() { x.release(j) })
}

// reader reads blocks of a job's DAG.
type reader struct {
	x *Exchange
	j *job
}

// Get implements [ipfs.Getter].
func (r *reader) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	select {
	case <-r.j.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return r.x.get(ctx, c, ahead)
}

func (x *Exchange) newJob(c cid.Cid) *job {
	now := time.Now()
	j := &job{root: c, ready: make(chan struct{}), views: map[string]*view{}, settled: now.Add(settleTime), progress: now}
	j.ctx, j.cancel = context.WithCancel(x.ctx)
	if !x.task(func() { x.plan(j) }) {
		j.cancel()
		return nil
	}
	return j
}

func (x *Exchange) release(j *job) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if j.readers--; j.readers > 0 {
		return
	}
	if j.complete() || x.ctx.Err() != nil {
		x.end(j)
		return
	}
	var idle *time.Timer
	idle = time.AfterFunc(x.limits.Linger, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if j.idle == idle { // nobody has come meanwhile
			x.end(j)
		}
	})
	j.idle = idle
}

// end ends a job; x.mu is held.
func (x *Exchange) end(j *job) {
	j.cancel()
	delete(x.jobs, string(j.root.Hash()))
	x.gate.forget(string(j.root.Hash()))
	x.queue = slices.DeleteFunc(x.queue, func(other *job) bool { return other == j })
	for _, b := range j.todo {
		if b.jobs[0] == j {
			b.urgent = false
		}
		at := slices.Index(b.jobs, j)
		b.jobs, b.leaves = slices.Delete(b.jobs, at, at+1), slices.Delete(b.leaves, at, at+1)
		if len(b.jobs) == 0 {
			delete(x.blocks, string(b.cid.Hash()))
			b.settle(result{err: errNoJob})
		} else if len(b.waits) > 0 {
			b.jobs[0].urge(b)
		}
	}
	x.rouse()
}

// complete tells whether nothing is missing any more.
func (j *job) complete() bool { return j.planned && j.got >= len(j.todo) }

// urge has a block fetched before others.
func (j *job) urge(b *block) {
	if !b.urgent {
		b.urgent = true
		j.urgent = append(j.urgent, b)
	}
}

// proceeds tells whether blocks of a job come in, or are on their way.
func (x *Exchange) proceeds(j *job) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return j.ctx.Err() == nil && time.Since(x.lastFor(j)) < x.limits.Stall
}

// last tells when a block, or a part of one, came.
func (j *job) last() time.Time { return latest(j.progress, time.Unix(0, j.moved.Load())) }

// lastFor tells when a block of a job, or a part of one, came, or, for maxPatience
// longer, when who holds it sent anything, who may have something else to send before,
// or who is nearer to such a one told that blocks of it are on their way.
func (x *Exchange) lastFor(j *job) time.Time {
	last := j.last()
	hope := last
	for _, p := range x.peers {
		v := j.views[p.id]
		if v == nil || p.rt == nil {
			continue
		}
		nearer := v.state == fetching && v.hops > 0 && v.hops < j.hops
		for _, l := range p.lanes {
			for _, t := range l.under {
				if v.state == holds || nearer && t.j == j {
					hope = latest(hope, time.Unix(0, t.moved.Load()))
				}
			}
		}
	}
	if most := last.Add(maxPatience); hope.After(most) {
		return most
	}
	return hope
}

// isFetching tells whether there is a job for the DAG under root.
func (x *Exchange) isFetching(root cid.Cid) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.jobs[string(root.Hash())] != nil
}

// relays gives the job that fetches the DAG under root, and has it get those of
// the listed blocks that are missing from holders; nil when there is none.
func (x *Exchange) relays(ctx context.Context, root cid.Cid, list []cid.Cid) *job {
	x.mu.Lock()
	j := x.jobs[string(root.Hash())]
	x.mu.Unlock()
	if j == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, x.limits.Stall/2)
	defer cancel()
	select {
	case <-j.ready:
	case <-ctx.Done():
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range list {
		if b := x.blocks[string(c.Hash())]; b != nil && !b.here && !b.passed {
			b.passed = true
			b.jobs[0].urge(b)
		}
	}
	x.rouse()
	return j
}
