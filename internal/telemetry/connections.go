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
	// maxConnections bounds the connections that are open at once. Lambda needs
	// one.
	maxConnections = 64
	// maxUnknown bounds what is read of a client before it has shown that it
	// knows the path: the beginning of a request. Lambda's has some 300 bytes.
	maxUnknown = 8 << 10
)

// connections is the listener's socket. It bounds how many connections are open.
// At the bound a new one takes the place of another: first of the oldest one on
// which no request has shown to know the listener's path. So other processes of
// the sandbox can neither keep Lambda out nor close the connection that it has.
type connections struct {
	net.Listener

	mu   sync.Mutex // guards all below, and what is in each connection
	open map[*connection]bool
	shut bool // no further one is admitted
}

// connection is a connection to the listener.
type connection struct {
	net.Conn
	all    *connections
	state  connState
	since  time.Time // of its last request that knew the path, or else of its begin
	unread int       // what may be read of it while it is unknown
}

// connState is how a connection is used. The lower ones are closed first.
type connState int

const (
	connUnknown   connState = iota // no request on it knew the path
	connReceiving                  // one that does comes
	connIdle                       // one that does was answered
	connTaken                      // one that does is not answered: never closed
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

// admit adds a connection, and closes another one where there are too many; nil
// means that it has to be closed itself.
func (c *connections) admit(conn net.Conn) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return nil
	}
	if len(c.open) >= maxConnections {
		var victim *connection
		for it := range c.open {
			if it.state < connTaken && (victim == nil || it.state < victim.state || it.state == victim.state && it.since.Before(victim.since)) {
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

// shutOut closes the connections on which no request has shown to know the path,
// and admits no further ones.
func (c *connections) shutOut() {
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

// Read reads from the connection. A client that sends much before it has shown
// to know the path has ended as far as the server can see: the server would
// answer that a header is too large, and then keep the connection for a while.
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

// CloseWrite is what net/http does to a connection before it closes it, so that
// its last answer arrives.
func (it *connection) CloseWrite() error {
	if tcp, ok := it.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

// set notes what becomes of a request's connection.
func set(r *http.Request, state connState) {
	it := connectionOf(r)
	if it == nil {
		return
	}
	it.all.mu.Lock()
	defer it.all.mu.Unlock()
	it.state, it.since = state, time.Now()
}

// connectionOf returns a request's connection; nil where there is none.
func connectionOf(r *http.Request) *connection {
	it, _ := r.Context().Value(connKey{}).(*connection)
	return it
}

type connKey struct{}

// withConn is the server's ConnContext.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}
