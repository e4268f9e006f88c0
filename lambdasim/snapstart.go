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
	s.idle.closeAll()
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

// idleConns are the connections to the APIs that have no request in them.
type idleConns struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// note is the server's ConnState hook.
func (c *idleConns) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateNew || state == http.StateIdle {
		c.conns[conn] = true
	} else {
		delete(c.conns, conn)
	}
}

func (c *idleConns) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		conn.Close()
	}
}
