package kinesissim

import (
	"context"
	"net"
	"net/http"
)

// connection is one client's connection. The server's mutex guards requests.
type connection struct {
	net.Conn
	id       uint64
	requests int
}

type connectionKey struct{}

// opened registers a new connection. http.Server calls it on the
// accepting goroutine, which Close waits for before it waits for conns.
func (s *Server) opened(ctx context.Context, c net.Conn) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return ctx
	}
	s.stats.Connections++
	conn := &connection{Conn: c, id: uint64(s.stats.Connections)}
	s.open[c] = conn
	s.conns.Add(1)
	return context.WithValue(ctx, connectionKey{}, conn)
}

func (s *Server) stateChanged(c net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[c] != nil {
		delete(s.open, c)
		s.conns.Done()
	}
}

// ResetConnections sends a TCP reset on every open connection, busy or idle. A client whose
// connections broke during a long freeze sees the same.
func (s *Server) ResetConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		reset(c)
	}
}

// end closes the connection, and with HTTP/2 all its requests.
func (c *connection) end(w http.ResponseWriter, ending ending) {
	if _, _, err := http.NewResponseController(w).Hijack(); err != nil {
		defer panic(http.ErrAbortHandler) // with HTTP/2, or if the client went away
	}
	if ending == endReset {
		reset(c.Conn)
	} else {
		c.Close()
	}
}

// reset closes a connection with RST instead of FIN, below TLS if there is TLS.
func reset(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}
