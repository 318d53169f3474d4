package exchange

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// plan lists the blocks of a DAG that are missing, after it has got all nodes
// above the leaves.
func (x *Exchange) plan(j *job) {
	err := x.list(j)
	x.mu.Lock()
	defer x.mu.Unlock()
	j.planned = true
	j.settled = time.Now().Add(settleTime)
	for _, v := range j.views { // which parts they have can be told from now on
		if v.state == fetching {
			v.at = time.Time{}
		}
	}
	close(j.ready)
	if err != nil && j.ctx.Err() == nil {
		x.log.Info("a file is read block by block", "root", j.root.String(), "error", err)
	}
	x.rouse()
}

func (x *Exchange) list(j *job) error {
	known := &dag{nodes: map[string][]*ipld.Link{}}
	level := []*ipld.Link{{Cid: j.root}}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return fmt.Errorf("%w: the DAG is more than %d levels deep", ipfs.ErrCorrupt, maxDepth)
		}
		next, err := x.nodes(j, level, known)
		if err != nil {
			return err
		}
		level = next
	}
	p := planner{x: x, j: j, nodes: known.nodes, seen: map[string]bool{}}
	p.walk(j.root)
	p.flush()
	return nil
}

// dag is what is known of a DAG.
type dag struct {
	nodes map[string][]*ipld.Link // by multihash
	links int                     // of all of these, bounded by maxPlanned
}

// errTooLong is matched by errors about DAGs that are not fetched ahead.
var errTooLong = errors.New("too long to be fetched ahead")

// nodes gets the nodes of one level and gives those of the next.
func (x *Exchange) nodes(j *job, level []*ipld.Link, known *dag) (next []*ipld.Link, err error) {
	var wanted []*ipld.Link
	for _, l := range level {
		key := string(l.Cid.Hash())
		if _, ok := known.nodes[key]; !ok && isNode(l.Cid) {
			known.nodes[key] = nil
			wanted = append(wanted, l)
		}
	}
	x.add(j, wanted, -1)
	for _, l := range wanted {
		data, err := x.local(j.ctx, l.Cid)
		if err != nil {
			data, err = x.fetched(j.ctx, l.Cid, atOnce)
		}
		if errors.Is(err, errNoJob) && j.ctx.Err() == nil { // it came meanwhile
			data, err = x.local(j.ctx, l.Cid)
		}
		if err != nil {
			return nil, err
		}
		links, _ := ipfs.Links(l.Cid, data) // what is no node has none
		if known.links += len(links); known.links > maxPlanned {
			return nil, fmt.Errorf("%w: the DAG has more than %d blocks", errTooLong, maxPlanned)
		}
		known.nodes[string(l.Cid.Hash())] = links
		for _, l := range links {
			if isNode(l.Cid) {
				next = append(next, l)
			}
		}
	}
	return next, nil
}

// planner puts the leaves of a DAG into its job, in the order of need.
type planner struct {
	x      *Exchange
	j      *job
	nodes  map[string][]*ipld.Link
	seen   map[string]bool
	leaves []*ipld.Link // not put into the job yet
	before int          // those that are
}

func (p *planner) walk(c cid.Cid) {
	for _, l := range p.nodes[string(c.Hash())] {
		key := string(l.Cid.Hash())
		if p.seen[key] {
			continue
		}
		p.seen[key] = true
		if isNode(l.Cid) {
			p.walk(l.Cid)
			continue
		}
		if p.leaves = append(p.leaves, l); len(p.leaves) == 1024 {
			p.flush()
		}
	}
}

func (p *planner) flush() {
	p.x.add(p.j, p.leaves, p.before)
	p.before += len(p.leaves)
	p.leaves = p.leaves[:0]
}

// sizeOf gives how many bytes a block is taken for. A link states those of all
// that is below.
func sizeOf(l *ipld.Link) int64 {
	if l.Size == 0 || isNode(l.Cid) {
		return unknownSize
	}
	return int64(min(l.Size, maxBatch))
}

// add puts those of the linked blocks into a job that this machine lacks. They are
// leaves, of which that many come before; below 0 nodes above them, which are to come
// from holders.
func (x *Exchange) add(j *job, links []*ipld.Link, before int) {
	here := make([]bool, len(links))
	for i, l := range links {
		here[i] = x.store.Has(j.ctx, l.Cid)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if j.ctx.Err() != nil {
		return
	}
	for i, l := range links {
		leaf := -1
		if before >= 0 {
			leaf = before + i
			j.leaves = leaf + 1
		}
		if here[i] {
			if leaf >= 0 {
				j.has = j.has.set(leaf)
			}
			continue
		}
		key := string(l.Cid.Hash())
		b := x.blocks[key]
		if b == nil {
			b = &block{cid: l.Cid, size: sizeOf(l), pos: len(j.todo), direct: before < 0}
			x.blocks[key] = b
		}
		if slices.Contains(b.jobs, j) {
			continue
		}
		if b.here && !x.store.Has(j.ctx, b.cid) {
			b.isHere(false)
		}
		b.jobs, b.leaves = append(b.jobs, j), append(b.leaves, leaf)
		j.todo = append(j.todo, b)
		if b.here {
			j.got++
			if leaf >= 0 {
				j.has = j.has.set(leaf)
			}
		}
	}
	x.rouse()
}
