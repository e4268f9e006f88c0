package telemetry

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxConnections bounds the open connections. Lambda needs one.
	maxConnections = 64
	// maxUnknown is how many bytes are read from a client before it has sent the
	// right path, which is at the start of a request. Lambda's start has some 300
	// bytes.
	maxUnknown = 8 << 10
)

// connections is the listener's socket. It bounds the number of open connections.
// At the bound a new connection replaces another one: first the oldest one on which
// no request had the listener's path. So other processes of the sandbox can neither
// keep Lambda out nor close Lambda's connection.
type connections struct {
	net.Listener

	mu   sync.Mutex // guards all below, and what is in each connection
	open map[*connection]bool
	shut bool // no further connection is admitted
}

// connection is a connection to the listener.
type connection struct {
	net.Conn
	all    *connections
	state  connState
	since  time.Time // of its last request with the right path, or else of its start
	unread int       // bytes that may still be read while it is unknown
}

// connState is how a connection is used. Connections with lower states are closed
// first.
type connState int

const (
	connUnknown   connState = iota // no request on it had the right path
	connReceiving                  // a request with the right path is arriving
	connIdle                       // a request with the right path was answered
	connAnswering                  // a whole body has arrived, its answer is pending: never closed
)

// Accept waits for a connection and makes room for it.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if it := c.admit(conn); it != nil {
			return it, nil
		}
		conn.Close()
	}
}

// admit adds a connection. If there are too many, it closes another one. If it
// returns nil, the caller must close conn.
func (c *connections) admit(conn net.Conn) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return nil
	}
	if len(c.open) >= maxConnections {
		var victim *connection
		for it := range c.open {
			if it.state < connAnswering && (victim == nil || it.state < victim.state || it.state == victim.state && it.since.Before(victim.since)) {
				victim = it
			}
		}
		if victim == nil {
			return nil
		}
		victim.end()
	}
	it := &connection{Conn: conn, all: c, since: time.Now(), unread: maxUnknown}
	c.open[it] = true
	return it
}

// closeUnknown closes the connections on which no request had the right path, and
// admits no further connections.
func (c *connections) closeUnknown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	for it := range c.open {
		if it.state == connUnknown {
			it.end()
		}
	}
}

// end closes a connection. all.mu is held.
func (it *connection) end() error {
	delete(it.all.open, it)
	return it.Conn.Close()
}

// Close closes the connection.
func (it *connection) Close() error {
	it.all.mu.Lock()
	defer it.all.mu.Unlock()
	return it.end()
}

// Read reads from the connection. If a client sends more than maxUnknown before it
// has sent the right path, Read returns io.EOF: otherwise the server would answer
// that a header is too large, and then keep the connection for a while.
func (it *connection) Read(b []byte) (int, error) {
	it.all.mu.Lock()
	if it.state == connUnknown {
		if it.unread == 0 {
			it.all.mu.Unlock()
			return 0, io.EOF
		}
		b = b[:min(len(b), it.unread)]
	}
	it.all.mu.Unlock()
	n, err := it.Conn.Read(b)
	it.all.mu.Lock()
	it.unread = max(it.unread-n, 0)
	it.all.mu.Unlock()
	return n, err
}

// CloseWrite closes the sending side. net/http calls it before it closes a
// connection, so that the last answer arrives.
func (it *connection) CloseWrite() error {
	if tcp, ok := it.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

// setState sets the state of a request's connection.
func setState(r *http.Request, state connState) {
	it := connectionOf(r)
	if it == nil {
		return
	}
	it.all.mu.Lock()
	defer it.all.mu.Unlock()
	it.state, it.since = state, time.Now()
}

// connectionOf returns a request's connection, or nil if there is none.
func connectionOf(r *http.Request) *connection {
	it, _ := r.Context().Value(connKey{}).(*connection)
	return it
}

type connKey struct{}

// withConn is the server's ConnContext.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}
