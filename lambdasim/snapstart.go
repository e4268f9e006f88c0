package lambdasim

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// SnapStart: Start is the publishing, with the snapshot at its end, and the
// first invocation restores it. The snapshot is the frozen processes themselves,
// so that it can be restored once only.
//
// Sources: AWS documentation ("Lambda SnapStart", "Lambda execution environment
// lifecycle", the schema reference). There is no event for extensions, and only
// runtimes have hooks, which those for Go do not use: the restore is over when
// the processes run.

// restore makes an environment of the snapshot. It returns how long that took,
// or 0 where there is nothing to restore.
func (s *Sandbox) restore() time.Duration {
	if !s.snapshot {
		return 0
	}
	s.snapshot = false
	start := time.Now()
	s.mu.Lock()
	s.instanceID = newInstanceID(s.cfg.FunctionVersion)
	var failed *failure
	if s.gen != nil {
		failed = s.gen.fatal
	}
	s.mu.Unlock()
	// Connections do not outlive a snapshot. Pending nexts do: they are the
	// platform's own, and it goes on with them.
	s.conns.closeAll()
	s.relay.closeIdle()
	s.relay.platform(typeRestoreStart, s.instance())
	s.thaw()
	took := time.Since(start)
	done := restoreDoneRecord{Status: StatusSuccess}
	if failed != nil {
		done.Status, done.ErrorType = StatusFailure, failed.errorType
	}
	s.relay.platform(typeRestoreRuntimeDone, done)
	done.Metrics = &durationMetrics{DurationMs: toMillis(took)}
	s.relay.platform(typeRestoreReport, done)
	s.notice(Notice{Time: start, Kind: NoticeRestore, Detail: took.String()})
	return took
}

// connections are those to the APIs. A nil one notes nothing.
type connections struct {
	mu     sync.Mutex
	states map[net.Conn]http.ConnState
	kept   map[net.Conn]bool // a next is pending in it
	doomed map[net.Conn]bool // closed when its request is answered
}

func newConnections() *connections {
	return &connections{states: make(map[net.Conn]http.ConnState), kept: make(map[net.Conn]bool), doomed: make(map[net.Conn]bool)}
}

// note is the server's ConnState hook.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case state == http.StateClosed || state == http.StateHijacked:
		delete(c.states, conn)
		delete(c.doomed, conn)
	case state == http.StateIdle && c.doomed[conn]:
		conn.Close()
	default:
		c.states[conn] = state
	}
}

// keep marks that a next is pending in the request's connection, until the
// function that it returns is called.
func (c *connections) keep(r *http.Request) (done func()) {
	conn, ok := r.Context().Value(madeBy{}).(net.Conn)
	if c == nil || !ok {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[conn] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.kept, conn)
	}
}

// closeAll closes all but those in which a next is pending. A request that is
// under way is answered first.
func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, state := range c.states {
		switch {
		case c.kept[conn]:
		case state == http.StateActive:
			c.doomed[conn] = true
		default:
			conn.Close()
		}
	}
}
