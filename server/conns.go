package server

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
)

// connections bounds how many connections are open at once. When there is no
// room for one more, that which has waited longest without a request is closed;
// one with a request under way never is. So who opens thousands and does
// nothing with them keeps nobody else out.
type connections struct {
	max   int
	ended chan struct{} // closed when no more are accepted

	mu      sync.Mutex
	open    int
	waiting *list.List // net.Conn without a request, the oldest first
	places  map[net.Conn]*list.Element
	freed   chan struct{} // closed, and replaced, when one has ended
}

func newConnections(limit int) *connections {
	return &connections{
		max: limit, ended: make(chan struct{}), waiting: list.New(),
		places: map[net.Conn]*list.Element{}, freed: make(chan struct{}),
	}
}

// limit gives a listener that accepts within the bounds. Its connections are
// l's own, so that files can be sent by the system. The server must report to
// [connections.track].
func (c *connections) limit(l net.Listener) net.Listener {
	return &limitedListener{Listener: l, conns: c, end: sync.OnceFunc(func() { close(c.ended) })}
}

type limitedListener struct {
	net.Listener
	conns *connections
	end   func()
}

func (l *limitedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !l.conns.enter() {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	return conn, nil
}

func (l *limitedListener) Close() error {
	l.end()
	return l.Listener.Close()
}

// enter makes room for one more connection, or waits for it; false when none
// are accepted any more.
func (c *connections) enter() bool {
	for {
		c.mu.Lock()
		if c.open < c.max {
			c.open++
			c.mu.Unlock()
			return true
		}
		freed := c.freed
		oldest := c.waiting.Front()
		if oldest != nil {
			delete(c.places, c.waiting.Remove(oldest).(net.Conn))
		}
		c.mu.Unlock()
		if oldest != nil {
			closeNow(oldest.Value.(net.Conn))
		}
		select {
		case <-freed:
		case <-c.ended:
			return false
		}
	}
}

// closeNow closes a connection without a farewell, for which nobody may listen.
func closeNow(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close() // its reader sees the end
}

// track is the server's ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if place, ok := c.places[conn]; ok {
		c.waiting.Remove(place)
		delete(c.places, conn)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		c.places[conn] = c.waiting.PushBack(conn)
	case http.StateClosed, http.StateHijacked:
		c.open--
		close(c.freed)
		c.freed = make(chan struct{})
	}
}
