package telemetry

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxConnections bounds the connections that are open at once. Lambda needs one.
const maxConnections = 32

// connections bounds how many connections are open. At the bound a new one takes
// the place of another: first of the oldest one on which nobody has shown to know
// the listener's path, so that other processes of the sandbox can keep neither
// Lambda's connection from being accepted nor close the one that it has.
type connections struct {
	mu     sync.Mutex // guards all below
	open   map[net.Conn]*connection
	closed bool // new ones are refused
}

// connection is a connection to the listener. connections.mu guards it.
type connection struct {
	since time.Time // of the last request that knew the path, or else of its begin
	known bool      // a request on it knew the path
	taken bool      // a body of it was received and is not answered
}

// changed is the server's ConnState. It is called for a new connection before
// the next one is accepted.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		if c.closed || len(c.open) >= maxConnections && !c.evict() {
			conn.Close()
			return
		}
		c.open[conn] = &connection{since: time.Now()}
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	}
}

// evict closes a connection, and reports whether there was one to close. c.mu is
// held.
func (c *connections) evict() bool {
	var oldest net.Conn
	for conn, it := range c.open {
		if it.taken {
			continue
		}
		if first := c.open[oldest]; first == nil || it.known == first.known && it.since.Before(first.since) || !it.known && first.known {
			oldest = conn
		}
	}
	if oldest == nil {
		return false
	}
	delete(c.open, oldest)
	oldest.Close()
	return true
}

// close closes the connections on which nobody has shown to know the path, and
// refuses new ones.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn, it := range c.open {
		if !it.known {
			delete(c.open, conn)
			conn.Close()
		}
	}
}

// receiving notes that a request knows the path.
func (c *connections) receiving(r *http.Request) net.Conn {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if it := c.open[conn]; it != nil {
		it.known, it.since = true, time.Now()
	}
	return conn
}

// received notes that a request's body is there.
func (c *connections) received(conn net.Conn) { c.setTaken(conn, true) }

// answered notes that the body's answer has left.
func (c *connections) answered(conn net.Conn) { c.setTaken(conn, false) }

func (c *connections) setTaken(conn net.Conn, taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if it := c.open[conn]; it != nil {
		it.taken = taken
	}
}

type connKey struct{}

// withConn is the server's ConnContext.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}
