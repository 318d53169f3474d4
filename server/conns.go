package server

import (
	"container/list"
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

const (
	// floorTime is how long a request may go without a [chunk] that its client
	// takes while others wait for a connection.
	floorTime = budget.FloorTime
	// maxPending is how many connections wait for room, of which one origin has
	// pendingEach.
	maxPending, pendingEach = 256, 32
	// What a connection takes with a request: goroutine, buffers and header; with
	// TLS what that keeps, too.
	connCost, secureCost = 32 << 10, 56 << 10
)

// connections bounds how many connections are open at once. When there is no
// room for one more, one is closed: that which has waited longest without a
// request, else one that moves nothing, else, for who comes from elsewhere, one of
// those who have most. So who opens thousands and does nothing with them, or reads
// slowly from all, keeps nobody else out.
type connections struct {
	max    int
	memory *budget.Share
	cost   int64 // bytes of memory that one takes, with a request
	origin func(remote string) string
	ended  chan struct{} // closed when no more are accepted
	send   sendBuffers

	mu      sync.Mutex
	open    map[string]int // by origin
	total   int
	pending map[string]int // by origin
	waits   int
	held    map[string]func() // their memory, by remote address
	places  map[net.Conn]*place
	idle    map[string]*list.List // net.Conn without a request by origin, the oldest first
	idles   int                   // how many these are
	freed   chan struct{}         // closed, and replaced, when one has ended

	closed, refused int64 // to make room, and since too many waited
}

// connUsage is how many connections there are.
type connUsage struct {
	open, idle, waiting, max int
	closed, refused          int64
}

func (c *connections) usage() connUsage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return connUsage{c.total, c.idles, c.waits, c.max, c.closed, c.refused}
}

// listening are the connections of all listeners, by what these are for.
type listening struct {
	mu sync.Mutex
	of map[string]*connections
}

// begin notes those of a listener, until end is called.
func (l *listening) begin(name string, c *connections) (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[string]*connections{}
	}
	l.of[name] = c
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.of[name] == c {
			delete(l.of, name)
		}
	}
}

func (l *listening) all() map[string]*connections {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.of)
}

// place is a connection that is served.
type place struct {
	origin  string
	release func()        // its memory
	idle    *list.Element // its place among those without a request; nil for none
	moved   atomic.Int64  // when its client last asked or took something; Unix nanoseconds

	sendBuffer int64 // bytes of it; 0 for what the system gives
}

// newConnections bounds connections that take cost bytes each to limit, and to a share
// of memory. origin is whose one is by its remote address.
func newConnections(limit int, origin func(remote string) string, memory *budget.Share, cost int64) *connections {
	return &connections{
		max: limit, memory: memory, cost: cost, origin: origin, ended: make(chan struct{}), send: systemSendBuffers(), open: map[string]int{}, pending: map[string]int{},
		held: map[string]func(){}, places: map[net.Conn]*place{}, idle: map[string]*list.List{}, freed: make(chan struct{}),
	}
}

// limit gives a listener that accepts within the bounds. Its connections are
// l's own, so that files can be sent by the system. The server must report to
// [connections.track] and [connections.context].
func (c *connections) limit(l net.Listener) net.Listener {
	limited := &limitedListener{Listener: l, conns: c, accepted: make(chan accepted), end: sync.OnceFunc(func() { close(c.ended) })}
	go limited.run()
	return limited
}

type limitedListener struct {
	net.Listener
	conns    *connections
	accepted chan accepted
	end      func()
}

type accepted struct {
	conn net.Conn
	err  error
}

// run accepts until the listener is closed. Who must wait for room waits aside, so
// that those behind him are seen.
func (l *limitedListener) run() {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err != nil:
			l.give(accepted{err: err})
		case l.conns.enter(conn.RemoteAddr().String()), l.conns.dropIdle(conn.RemoteAddr().String()) && l.conns.enter(conn.RemoteAddr().String()):
			l.give(accepted{conn: conn})
		default:
			l.wait(conn)
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (l *limitedListener) give(a accepted) {
	select {
	case l.accepted <- a:
	case <-l.conns.ended:
		if a.conn != nil {
			_ = a.conn.Close() // nobody has read from it
		}
	}
}

// wait has a connection wait for room, or closes it when too many do.
func (l *limitedListener) wait(conn net.Conn) {
	leave, ok := l.conns.queue(conn.RemoteAddr().String())
	if !ok {
		_ = conn.Close() // nobody has read from it
		return
	}
	go func() {
		defer leave()
		if l.conns.await(conn.RemoteAddr().String()) {
			l.give(accepted{conn: conn})
			return
		}
		_ = conn.Close() // the listener is closed
	}()
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.conns.ended:
		return nil, net.ErrClosed
	}
}

func (l *limitedListener) Close() error {
	l.end()
	return l.Listener.Close()
}

// queue notes that a connection waits, unless too many do.
func (c *connections) queue(remote string) (leave func(), ok bool) {
	origin := c.origin(remote)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits >= maxPending || c.pending[origin] >= pendingEach {
		c.refused++
		return nil, false
	}
	c.waits++
	c.pending[origin]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waits--
		budget.Less(c.pending, origin, 1)
	}, true
}

// enter counts a connection if there is room, and nobody waits for it who has less.
func (c *connections) enter(remote string) bool {
	origin := c.origin(remote)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= c.max {
		return false
	}
	for other := range c.pending {
		if c.open[other] < c.open[origin] {
			return false
		}
	}
	release, ok := c.memory.Try(budget.With(context.Background(), &budget.Holder{Origin: origin}), c.cost)
	if !ok {
		return false
	}
	c.held[remote] = release
	c.total++
	c.open[origin]++
	return true
}

// await makes room for one more connection, or waits for it; false when none
// are accepted any more.
func (c *connections) await(remote string) bool {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		if c.enter(remote) {
			return true
		}
		if c.dropIdle(remote) {
			continue
		}
		c.mu.Lock()
		freed, victim := c.freed, c.victim(c.origin(remote))
		c.mu.Unlock()
		if victim != nil {
			closeNow(victim)
		}
		select {
		case <-freed:
		case <-look.C:
		case <-c.ended:
			return false
		}
	}
}

// placeKey is the key under which a request's context has its connection's place.
type placeKey struct{}

// context is the server's ConnContext.
func (c *connections) context(ctx context.Context, conn net.Conn) context.Context {
	p := &place{origin: c.origin(conn.RemoteAddr().String())}
	p.moved.Store(time.Now().UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.release = c.held[conn.RemoteAddr().String()]; p.release == nil { // it came by another way
		p.release = func() {}
	}
	delete(c.held, conn.RemoteAddr().String())
	c.places[conn] = p
	c.setIdle(conn, p, true)
	return context.WithValue(ctx, placeKey{}, p)
}

// track is the server's ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.places[conn]
	if p == nil { // dropped
		return
	}
	switch state {
	case http.StateNew, http.StateIdle, http.StateActive:
		c.setIdle(conn, p, state != http.StateActive)
		if state == http.StateActive {
			c.send.fit(conn, p, len(c.places)-c.idles)
		}
		p.moved.Store(time.Now().UnixNano())
	case http.StateClosed, http.StateHijacked:
		c.drop(conn)
	}
}

// moves notes that a request's client takes what it is sent.
func (p *place) moves() {
	if p != nil {
		p.moved.Store(time.Now().UnixNano())
	}
}
