package simnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
)

// Lab is a network.
type Lab struct {
	Latency time.Duration // of each request, there and back

	blocks   *content
	all      []*Machine
	requests atomic.Int64
}

// New makes a network without machines. It must be closed.
func New() *Lab { return &Lab{Latency: time.Millisecond, blocks: newContent()} }

// Requests is how many requests were made so far, of all machines.
func (l *Lab) Requests() int64 { return l.requests.Load() }

// Close ends all machines.
func (l *Lab) Close() {
	for _, m := range l.all {
		m.Kill()
	}
	for _, m := range l.all {
		_ = m.Exchange.Close() // never fails
	}
}

// Rates are what a machine can send and take, in bytes a second; 0 for no limit.
type Rates struct{ Up, Down float64 }

// Machine is a machine with an empty store.
type Machine struct {
	*exchange.Exchange
	ID string

	lab      *Lab
	up, down *link
	store    *store
	ctx      context.Context // ends when it is killed
	kill     context.CancelFunc
	frozen   chan struct{} // closed when it answers no more
	freeze   func()
	sent     atomic.Int64
	dies     atomic.Int64 // when it has sent so many bytes; 0 for never
	death    func()       // how
	thaws    atomic.Int64 // it answers nothing before; Unix nanoseconds

	mu      sync.Mutex
	peers   []*Machine
	answers http.Handler // in place of its exchange's
	find    func()       // what looking for others does
}

// Machine adds one.
func (l *Lab) Machine(id string, r Rates, limits exchange.Limits) *Machine {
	m := &Machine{ID: id, lab: l, up: newLink(r.Up), down: newLink(r.Down), store: newStore(l.blocks), frozen: make(chan struct{})}
	m.ctx, m.kill = context.WithCancel(context.Background())
	m.freeze = sync.OnceFunc(func() { close(m.frozen) })
	m.Exchange = exchange.New(exchange.Config{Network: network{m}, Store: m.store, Limits: limits, Memory: budget.New(0)})
	l.all = append(l.all, m)
	return m
}

// Connect connects machines with each other.
func (l *Lab) Connect(all ...*Machine) {
	for i, m := range all {
		for _, other := range all[i+1:] {
			m.meet(other)
			other.meet(m)
		}
	}
}

func (m *Machine) meet(other *Machine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.peers, other) {
		m.peers = append(m.peers, other)
	}
}

// Answers has a machine answer others by h in place of its exchange.
func (m *Machine) Answers(h http.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers = h
}

// handler is what answers others.
func (m *Machine) handler() http.Handler {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers != nil {
		return m.answers
	}
	return m.Handler()
}

// To carries requests of this machine to another, in its name.
func (m *Machine) To(other *Machine) http.RoundTripper { return path{m, other} }

// Finds has a machine call found when it looks for others that have something.
func (m *Machine) Finds(found func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.find = found
}

// Limit makes a machine send at most so many bytes a second, before it sends any.
func (m *Machine) Limit(up float64) { m.up = newLink(up) }

// Kill cuts a machine off, so that all others notice it at once.
func (m *Machine) Kill() { m.kill() }

// Freeze has a machine answer nothing any more, which nobody is told.
func (m *Machine) Freeze() { m.freeze() }

// Pause has a machine answer nothing for a while, which nobody is told; then it goes on
// with what it was asked.
func (m *Machine) Pause(d time.Duration) { m.thaws.Store(time.Now().Add(d).UnixNano()) }

// After has a machine die when it has sent so many bytes: by [Machine.Kill], say.
func (m *Machine) After(sent int64, death func()) {
	m.death = death
	m.dies.Store(sent)
}

// Sent is how many bytes of answers have left the machine.
func (m *Machine) Sent() int64 { return m.sent.Load() }

// sends counts what leaves the machine, and has it die in time.
func (m *Machine) sends(n int) {
	if sent, dies := m.sent.Add(int64(n)), m.dies.Load(); dies > 0 && sent >= dies && sent-int64(n) < dies {
		m.death()
	}
}

// Publish has a machine keep a file as its own.
func (m *Machine) Publish(ctx context.Context, data io.Reader) (cid.Cid, error) {
	link, err := ipfs.AddFile(ctx, publishing{m.store}, data)
	return link.CID, err
}

// Has tells whether a machine has all blocks of a file.
func (m *Machine) Has(ctx context.Context, file cid.Cid) bool {
	whole := true
	err := ipfs.Blocks(ctx, m.store, file, 0, func(c cid.Cid, _ int64) bool {
		whole = whole && m.store.Has(ctx, c)
		return whole
	})
	return err == nil && whole
}

// IsShared tells whether some machines have all blocks among them of a file that this
// one has.
func (m *Machine) IsShared(ctx context.Context, file cid.Cid, all ...*Machine) bool {
	shared := true
	err := ipfs.Blocks(ctx, m.store, file, 0, func(c cid.Cid, _ int64) bool {
		shared = shared && slices.ContainsFunc(all, func(other *Machine) bool { return other.store.Has(ctx, c) })
		return shared
	})
	return err == nil && shared
}

// parallel is how many files an engine reads at once, and ahead how many blocks of each.
const parallel, ahead = 3, 16

// LastCame is when the machine last got a block; zero for never.
func (m *Machine) LastCame() time.Time { return m.store.lastCame() }

// Pull reads files as the server does for an engine, which gives up at the first error.
func (m *Machine) Pull(ctx context.Context, files ...cid.Cid) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, c := range files {
		g.Go(func() error { return m.read(ctx, c) })
	}
	return g.Wait()
}

func (m *Machine) read(ctx context.Context, c cid.Cid) (err error) {
	if _, err := m.Get(ctx, c); err != nil { // as who finds out how long the file is
		return fmt.Errorf("machine %s: %w", m.ID, err)
	}
	g, release := m.Fetch(c)
	defer release()
	f, err := ipfs.OpenFile(ctx, g, c, ahead)
	if err == nil {
		_, err = f.WriteTo(io.Discard)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("machine %s: %w", m.ID, err)
	}
	return nil
}

// network is a machine as its exchange sees it.
type network struct{ m *Machine }

func (n network) Self() string { return n.m.ID }

func (n network) Peers() (all []exchange.Peer) {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	for _, other := range n.m.peers {
		if other.ctx.Err() == nil {
			all = append(all, path{n.m, other})
		}
	}
	return all
}

func (network) Blocks(context.Context, []cid.Cid, func(cid.Cid, []byte) error) error {
	return errors.ErrUnsupported
}

func (n network) Find(context.Context, cid.Cid) error {
	n.m.mu.Lock()
	found := n.m.find
	n.m.mu.Unlock()
	if found == nil {
		return errors.ErrUnsupported
	}
	found()
	return nil
}

// Connected is how many machines it is connected with.
func (m *Machine) Connected() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.peers)
}
