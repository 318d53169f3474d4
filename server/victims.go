package server

import (
	"container/list"
	"crypto/tls"
	"math"
	"net"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// dropIdle closes a connection without a request, for one more of remote's origin: of
// those who have most, that which has waited longest. False when there is none. Who
// has as many or more takes no place of one who has just come, and whose request is
// on its way.
func (c *connections) dropIdle(remote string) bool {
	origin := c.origin(remote)
	c.mu.Lock()
	var conn net.Conn
	most := 0
	for other, conns := range c.idle {
		oldest := conns.Front().Value.(net.Conn)
		fresh := time.Now().Add(-floorTime).UnixNano() < c.places[oldest].moved.Load()
		if c.open[other] > most && (other == origin || c.open[other] > c.open[origin] || !fresh) {
			most, conn = c.open[other], oldest
		}
	}
	c.drop(conn)
	if conn != nil {
		c.closed++
	}
	c.mu.Unlock()
	if conn != nil {
		closeNow(conn)
	}
	return conn != nil
}

// victim takes out the connection to close for one of an origin when none is idle;
// nil for none.
func (c *connections) victim(origin string) net.Conn {
	most := origin
	for other, n := range c.open {
		if n > c.open[most]+1 {
			most = other
		}
	}
	var worst net.Conn
	still := time.Now().Add(-floorTime).UnixNano()
	oldest := int64(math.MaxInt64)
	for conn, p := range c.places {
		moved := p.moved.Load()
		// What stands still goes for its own origin, and for those who have less.
		stands := moved < still && (p.origin == origin || c.open[p.origin] > c.open[origin])
		if moved < oldest && (stands || most != origin && p.origin == most) {
			worst, oldest = conn, moved
		}
	}
	c.drop(worst)
	if worst != nil {
		c.closed++
	}
	return worst
}

// drop takes a connection out, whose place is free from then on.
func (c *connections) drop(conn net.Conn) {
	p := c.places[conn]
	if p == nil {
		return
	}
	delete(c.places, conn)
	p.release()
	c.setIdle(conn, p, false)
	c.total--
	budget.Less(c.open, p.origin, 1)
	close(c.freed)
	c.freed = make(chan struct{})
}

// setIdle notes whether a connection has no request.
func (c *connections) setIdle(conn net.Conn, p *place, idle bool) {
	conns := c.idle[p.origin]
	if p.idle != nil {
		conns.Remove(p.idle)
		p.idle = nil
		c.idles--
		if conns.Len() == 0 {
			delete(c.idle, p.origin)
		}
	}
	if !idle {
		return
	}
	if conns = c.idle[p.origin]; conns == nil {
		conns = list.New()
		c.idle[p.origin] = conns
	}
	p.idle = conns.PushBack(conn)
	c.idles++
}

// closeNow closes a connection without a farewell, for which nobody may listen.
func closeNow(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close() // its reader sees the end
}
